"""Where ours is not to do what iputils 20221126 does, and why.

`NEWER` and `BETTER` are said of iputils' report (`masking.report`): a pattern that stands in it, and what ours has
there. Each holds for all lines whose report has the pattern, or for the lines it names; then every pattern must be
there, so that no difference outlives its cause. `NOT_COMPARED` is hidden in both reports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pingsock import __version__

_HEAD, _ERRORS, _WIRE = "^--- standard output\n", "^--- standard error\n", "^--- on the wire\n"


@dataclass(frozen=True)
class Difference:
    """`changes`: patterns (multi-line) in iputils' report, and what stands there in ours."""

    reason: str
    changes: tuple[tuple[str, str], ...] = ()
    lines: str = ""
    """The command lines it is for, "" for all; with " # WHO" behind, only as run by these."""
    instead: str = ""
    """The command line that iputils is given instead, if it does not know this one."""

    def concerns(self, text: str, who: str) -> bool:
        """Whether it is for this line by name."""
        for line in self.lines.strip().splitlines():
            named, _, everybody = line.partition(" # ")
            if named == text and (not everybody or who in everybody.split()):
                return True
        return False


def refusal(text: str, status: int = 2) -> tuple[tuple[str, str], ...]:
    """The change of a whole report: ours says one thing on standard error and ends."""
    report = f"--- exit status\n{status}\n--- standard output\n--- standard error\n{text}\n--- on the wire\n"
    return ((r"\A(?s:.*)\Z", report.replace("\\", r"\\")),)


def source_routed(option: str) -> tuple[tuple[str, str], ...]:
    """The change of a refusal: one packet to 10.77.2.2 by 10.77.1.1 with this option leaves, and nobody answers."""
    printed = (
        "PING 10.77.2.2 (10.77.2.2) 56(124) bytes of data.\n\n--- 10.77.2.2 ping statistics ---\n"
        "1 packets transmitted, 0 received, 100% packet loss, time Tms\n\n"
    )
    sent = (
        f"far 10.77.1.2 > 10.77.1.1 ttl 64 tos 0x0 DF options {option} echo code 0 ident I seq 1"
        " 56 bytes time 101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f ... crc 8fdfe4a8\n"
    )
    return (
        (r"^2\n", "1\n"),
        (_HEAD, rf"\g<0>{printed}"),
        ("^ping: record route: Operation not permitted\n", ""),
        (_WIRE, rf"\g<0>{sent}"),
    )


def failed_send(text: str, times: int = 1) -> tuple[tuple[str, str], ...]:
    """The change of a report by which packets were lost: so many were not sent, for this reason."""
    return (
        (r"( received)(, \d+% packet loss)", rf"\1, +{times} errors\2"),
        (_WIRE, rf"{f'ping: sendmsg: {text}{chr(10)}' * times}\g<0>"),
    )


_ONE_ERROR = (r"( received)(, \d+% packet loss)", r"\1, +1 errors\2")
_NO_ERROR = (r" received, \+1 errors,", " received,")

NOT_COMPARED = (
    (r"^\nUsage\n(?:.*\n)*?(?=^--- )", "(the usage)\n", "it lists other options in other words"),
    (r"^ping\d?: round trips: .*\n", "", "with -v ours says between which clocks it measured"),
    (
        r"^ping\d?: (?:no ping socket can be opened|to allow it|more ways and reasons).*\n",
        "",
        "where no socket can be had, ours names this host's cause and cure",
    ),
)
"""Pattern, what hides it, and why it is not compared."""

NEWER = [
    Difference(
        "20240905 and later print IPv6 like IPv4: a blank before the address, the name once",
        ((r"^PING (\S+?)\((?:\S+ \()?(\S*:\S*?)\)+ ", r"PING \1 (\2) "),),
    ),
    Difference(
        "20240117 and later say everything of -v on standard error, with the program's name and no empty line",
        (
            (
                rf"{_HEAD}(ai->.*\n)((?:.*\n)*?){_ERRORS}(ping\d?: )(sock4.*\n)\n",
                r"--- standard output\n\2--- standard error\n\3\4\3\1",
            ),
            (r"^(ping\d?: sock4\.fd.*\n)\n", r"\1"),
        ),
    ),
    Difference(
        "20240905 and later name the option to use",
        (
            (
                "cannot flood; minimal interval allowed for user is 2ms",
                "cannot flood, minimal interval for user must be >= 2 ms, use -i 0.002 (or higher)",
            ),
            (
                r"(broad|multi)cast ping with too short interval: \d+",
                r"minimal interval for \1cast ping for user must be >= 1000 ms, use -i 1 (or higher)",
            ),
        ),
    ),
    Difference(
        "later versions know RFC 4443's codes 5 and 6",
        (
            ("Unknown code 5$", "Source address failed ingress/egress policy"),
            ("Unknown code 6$", "Reject route to destination"),
        ),
    ),
    Difference(
        "later versions exit with 2 for all usage errors",
        ((r"^1\n(?=--- standard output\n--- standard error\nping: usage error)", "2\n"),),
    ),
    Difference(
        "later versions say what is missing, once",
        (
            (
                r"^(ping: WARNING: failed to set mark: \d+: Operation not permitted\n)\1",
                r"\1ping: => missing cap_net_admin+p or cap_net_raw+p (since Linux 5.17) capability?\n",
            ),
        ),
    ),
    Difference(
        "20250602 and later check the size beforehand",
        refusal("ping: invalid -s value: '65508': out of range: 0 <= value <= 65507", 1),
        "ping -s 65508 -c 1 -W 0.2 10.77.1.1",
    ),
    Difference(
        "20250602 and later check the size beforehand",
        refusal("ping: invalid -s value: '65528': out of range: 0 <= value <= 65527", 1),
        "ping -s 65528 -c 1 -W 0.2 fd77:1::1",
    ),
    Difference(
        "20250602 and later check the size beforehand, and know how much room IP options take",
        refusal("ping: invalid -s value: '65468': out of range: 0 <= value <= 65467", 1),
        "ping -R -s 65468 -c 1 -W .3 10.77.2.2",
    ),
    Difference(
        "20250605 refuses negative intervals",
        refusal("ping: bad timing interval: -1"),
        "ping -i -1 -c 1 10.77.1.1",
    ),
    Difference(
        "20250602 and later refuse what overflows microseconds in 32 bits",
        refusal("ping: bad linger time: 4295"),
        "ping -W 4295 -c 1 10.77.1.1",
    ),
    Difference(
        "the option is new in 20231222",
        ((r"from 10\.77\.2\.2: ", "from server.test (10.77.2.2): "),),
        "ping -H -c 1 10.77.2.2",
        instead="ping -c 1 10.77.2.2",
    ),
    Difference(
        "the option is new in 20231222",
        ((r"from fd77:2::2: ", "from server6.test (fd77:2::2): "),),
        "ping -H -c 1 fd77:2::2",
        instead="ping -c 1 fd77:2::2",
    ),
    Difference(
        "the option is new in 20231222; the last of the two counts",
        lines="ping -H -n -c 1 10.77.2.2",
        instead="ping -n -c 1 10.77.2.2",
    ),
    Difference(
        "the option is new in 20231222, and overrides -n",
        lines="ping -n -H -c 1 server.test",
        instead="ping -c 1 server.test",
    ),
    Difference(
        "the option is new in 20231222",
        ((r"From 10\.77\.1\.1 ", "From router.test (10.77.1.1) "),),
        "ping -H -t 1 -c 1 10.77.2.2",
        instead="ping -t 1 -c 1 10.77.2.2",
    ),
    Difference(
        "the option is new in 20231222; -f prints no names in any case",
        lines="ping -f -H -c 1 -i .3 server.test",
        instead="ping -f -c 1 -i .3 server.test",
    ),
    Difference(
        "20231222 and later read this variable",
        (
            (r"from server\.test \(10\.77\.2\.2\)", "from 10.77.2.2"),
            (
                f"{_ERRORS}",
                "--- standard error\nping: WARNING: reverse DNS resolution (PTR lookup) disabled, enforce with -H\n",
            ),
        ),
        "IPUTILS_PING_PTR_LOOKUP=0 ping -c 1 server.test",
    ),
    Difference(
        "20231222 and later read this variable, and warn even with the option they recommend",
        (
            (
                f"{_ERRORS}",
                "--- standard error\nping: WARNING: reverse DNS resolution (PTR lookup) disabled, enforce with -H\n",
            ),
        ),
        "IPUTILS_PING_PTR_LOOKUP=0 ping -H -c 1 server.test",
        instead="ping -c 1 server.test",
    ),
    Difference(
        "the option is new in 20240905",
        (("time=T ms", "time=T.TTT ms"),),
        "ping -3 -c 1 10.78.1.23",
        instead="ping -c 1 10.78.1.23",
    ),
    Difference("the option is new in 20240905", lines="ping -3 -c 1 10.77.2.2", instead="ping -c 1 10.77.2.2"),
    Difference(
        "the value is new in 20231222",
        lines="ping -M probe -c 1 10.77.2.2",
        instead="ping -M do -c 1 10.77.2.2",
    ),
    Difference(
        "the value is new in 20231222",
        lines="ping -M probe -c 1 -s 1450 -W 1 10.77.2.2",
        instead="ping -M do -c 1 -s 1450 -W 1 10.77.2.2",
    ),
    Difference(
        "20250605 shows the pattern while it reads the options, so -q has to come first",
        ((f"{_HEAD}", "--- standard output\nPATTERN: 0xff\n"),),
        "ping -p ff -q -c 1 10.77.2.2",
    ),
    Difference(
        "20250605 shows each pattern while it reads the options",
        ((f"{_HEAD}", "--- standard output\nPATTERN: 0xff\n"),),
        "ping -p ff -p 00 -c 1 10.77.2.2",
    ),
    Difference(
        "20250605 shows each pattern while it reads the options",
        ((f"{_HEAD}", "--- standard output\nPATTERN: 0x12\n"),),
        "ping -p 12 -c 0 10.77.1.1",
    ),
    Difference(
        "and refuses it then, too",
        refusal("ping: patterns must be specified as hex digits: zz"),
        "ping -p zz -c 0 10.77.1.1",
    ),
    Difference(
        "later versions look up the name of the source, for IPv6",
        (("from ::1 :", "from localhost (::1) :"),),
        "ping -B -c 1 ip6-localhost",
    ),
    Difference(
        "20221126 stops filling a pattern's length before the end",
        (("ff00000000000000$", "ffffffffffffffff"),),
        "ping -p ff -s 8 -c 1 10.77.2.2",
    ),
    Difference(
        "likewise, of five bytes",
        (("ab00000000$", "ababababab"),),
        "ping -p ab -s 5 -c 1 10.77.2.2",
    ),
    Difference(
        "later versions read all options before they print the version",
        refusal("ping: invalid argument: '0': out of range: 1 <= value <= 9223372036854775807", 1),
        "ping -V -c 0",
    ),
    Difference(
        "an errno that was left over from something else",
        (("bad timing interval: : No such file or directory", "bad timing interval: "),),
        "ping -i '' 10.77.1.1",
    ),
]

BETTER = [
    Difference(
        "it is another program; the word iputils is what gping looks for",
        (
            (
                "^ping from iputils 20221126\nlibcap: .*\n",
                f"pingsock {__version__} (iputils-compatible)\n",
            ),
        ),
    ),
    Difference(
        "an empty canonical name, which getaddrinfo gives for some lines of a table of hosts, is no name to show",
        (("^PING  \\(", "PING localhost ("), ("^---  ping", "--- localhost ping")),
        "ping -4 -c 1 localhost\nping4 -c 1 localhost",
    ),
    Difference(
        "a redirect and a source quench are notes, as iputils itself has it on raw sockets; the packet went on",
        ((r"^From (\S*[^\s:]) (icmp_seq=\d+ (?:Redirect|Source Quench))", r"From \1: \2"),),
    ),
    Difference(
        "and so they are no errors",
        (_NO_ERROR,),
        """
ping -c 1 -W 1 10.78.4.0
ping -c 1 -W 1 10.78.4.1
ping -c 1 -W 1 10.78.5.0
ping -c 1 -W 1 10.78.5.1
ping -c 1 -W 1 10.78.5.2
ping -c 1 -W 1 10.78.5.3
ping -c 1 -W 1 10.78.5.4
ping -c 2 -i .3 10.78.1.46 # user
""",
    ),
    Difference(
        "and so they neither count towards -c nor end the run",
        (
            (r"^(From \S+: icmp_seq=)1( .*\n)(64 bytes .*=)1( .*\n)", r"\g<0>\g<1>2\2\g<3>2\4"),
            (r"^1 packets transmitted, 1 received, \+1 errors", "2 packets transmitted, 2 received"),
            (r"^(odd .* seq )1( .*\n)", r"\g<0>\g<1>2\2"),
        ),
        "ping -c 2 -i .3 10.78.1.18 # user\nping -c 2 -i .3 10.78.1.19 # user",
    ),
    Difference(
        "and so they do not end a run with -w",
        (
            (r"^1\n", "0\n"),
            (
                r"^(From \S+: icmp_seq=)1( .*\n)",
                (
                    r"\g<0>64 bytes from 10.78.1.18: icmp_seq=1 ttl=63 time=T ms\n"
                    r"\g<1>2\g<2>64 bytes from 10.78.1.18: icmp_seq=2 ttl=63 time=T ms\n"
                ),
            ),
            (
                r"^1 packets transmitted, 0 received, \+1 errors, 100%(.*\n)\n",
                r"2 packets transmitted, 2 received, 0%\1rtt min/avg/max/mdev = T ms\n",
            ),
            (r"^(odd .* seq )1( .*\n)", r"\g<0>\g<1>2\2"),
        ),
        "ping -w 2 -c 2 -i .3 10.78.1.18",
    ),
    *(
        Difference("a send that failed is an error with a reason, and is not waited for", failed_send(text), lines)
        for text, lines in (
            ("Operation not permitted (a local firewall rule dropped it)", "ping -c 1 -W 0.3 10.77.6.1"),
            ("Invalid argument", "ping -I 127.0.0.1 -c 1 -W .2 10.77.2.2\nping -I 10.77.1.2 -c 1 -W .3 10.77.9.1"),
            ("No route to host (a route says unreachable)", "ping -I 10.77.1.2 -c 1 -W .3 10.77.7.1"),
            (
                "Permission denied (a route prohibits it, or it is a broadcast address)",
                "ping -I 10.77.1.2 -c 1 -W .3 10.77.8.1",
            ),
            (
                "Network is unreachable (no route leads there, or the source address has gone)",
                "ping -r -c 1 -W .3 10.77.2.2\nping -I lo -I fd77:1::2 -c 1 -W .3 fd77:2::2",
            ),
        )
    ),
    Difference(
        "likewise twice",
        failed_send("No route to host (a route says unreachable)", 2),
        "ping -I fd77:1::2 -c 2 -i .2 -W .3 fd77:7::1",
    ),
    Difference(
        "likewise, but nothing is printed",
        (_ONE_ERROR,),
        "ping -I fd77:1::2 -q -c 1 -W .3 fd77:7::1",
    ),
    Difference(
        "an ICMP error that waits makes the next send fail; iputils then skips that probe, ours sends it",
        (
            (r"^(From 10\.77\.1\.1 icmp_seq=)1( .*\n)", r"\g<0>\g<1>2\2"),
            (r"\+2 errors", "+3 errors"),
            ("^ping: sendmsg: No route to host\n", ""),
            (r"^(far .* seq )1( .*\n)", r"\g<0>\g<1>2\2"),
        ),
        "ping -l 3 -c 3 -i .01 -W .3 10.77.3.1",
    ),
    Difference(
        "likewise for IPv6",
        (
            (r"^(From fd77:1::1 icmp_seq=)1( .*\n)", r"\g<0>\g<1>2\2"),
            (r"\+2 errors", "+3 errors"),
            ("^ping: sendmsg: Permission denied\n", ""),
            (r"^(far .* seq )1( .*\n)", r"\g<0>\g<1>2\2"),
        ),
        "ping -l 3 -c 3 -i .01 -W .3 fd77:3::1",
    ),
    Difference(
        "a query that came to nothing has a reason, too",
        (
            _ONE_ERROR,
            (
                "^PING .*\n",
                "\\g<0>From fd77:1::1 icmp_seq=1 Destination unreachable: Administratively prohibited\n",
            ),
        ),
        "ping -N name -c 1 -W .3 fd77:3::1 # root",
    ),
    Difference(
        "-q is about what is printed, not about what is counted",
        (_ONE_ERROR,),
        "ping -M do -c 1 -s 2000 -W .5 -q 10.77.1.1",
    ),
    Difference(
        "iputils asks for no route here and then fails to send, silently and for ever",
        (
            (r"^1\n", "2\n"),
            (r"^PING (?:.*\n)*?(?=--- standard error)", ""),
            (_WIRE, "ping: connect: Invalid argument\n\\g<0>"),
        ),
        "ping -c 1 -W .3 ff02::1\nping -c 1 -W 0.2 fe80::1",
    ),
    Difference(
        "the unspecified address is this host for IPv6 too; a ping socket sends it to a router, and iputils lets it",
        (
            (r"^1\n", "0\n"),
            (r"^From \S+ icmp_seq=1 Destination unreachable: .*", "64 bytes from ::1: icmp_seq=1 ttl=64 time=T ms"),
            (r"0 received, \+1 errors, 100% (.*\n)\n", r"1 received, 0% \1rtt min/avg/max/mdev = T ms\n"),
            (r"^far \S+ > :: ", "lo ::1 > ::1 "),
        ),
        "ping -c 1 :: # root user",
    ),
    Difference(
        "a subject that is said to be a whole name ends as RFC 4620 has it, with one zero",
        ((r"12 bytes 000100000000000001610000$", "11 bytes 0001000000000000016100"),),
        "ping -N subject-fqdn=a -N ipv6-all -c 1 -W .3 fd77:2::2 # root",
    ),
    Difference(
        "a source that is to be shown is known",
        (("from :: : ", "from fe80::ff:fe00:f503%far : "),),
        "ping -B -W .3 -c 1 fe80::1%far",
    ),
    Difference(
        "with the device, the source is known, and is on it",
        (
            ("from :: far: ", "from fe80::ff:fe00:f503%far far: "),
            ("^ping: Warning: source address might be selected on device other than: far\n", ""),
        ),
        "ping -c 1 -W .3 -I far ff02::1\nping -c 1 -W 0.3 -I far fe80::1",
    ),
    Difference(
        "nobody takes the time of day from a reply",
        ((r"^ping: Warning: time of day goes back \(-\d+us\), taking countermeasures\n", ""),),
    ),
    Difference(
        "a reply to what was not sent is no reply",
        (
            (r"^0\n", "1\n"),
            (r"^64 bytes .*\n", ""),
            (r"2 received, 0% (.*\n)rtt .*\n", r"0 received, 100% \1\n"),
        ),
        "ping -c 2 -i .3 -W 0.3 10.78.1.15",
    ),
    Difference(
        "an error about what was not sent is no error of this run",
        (_NO_ERROR, (r"^From .*\n", "")),
        "ping -c 1 -W 0.5 10.78.1.21 # user\nping -c 1 -W .3 10.78.1.21 # raw",
    ),
    Difference(
        "where we hold a raw-capable socket, source routes work; iputils drops the capability too early",
        source_routed("018307040a4d0202"),
        "ping -c 1 -W .5 10.77.1.1 10.77.2.2 # root raw",
    ),
    Difference(
        "likewise a strict source route",
        source_routed("018907040a4d0202"),
        "ping -r -c 1 -W .5 10.77.1.1 10.77.2.2 # root",
    ),
    Difference(
        "the raw-capable socket of ours is a ping socket too: what does not sum up is no reply",
        (
            (r"^0\n", "1\n"),
            (r"^64 bytes .*\n", ""),
            (r"1 received, 0% (.*\n)rtt .*\n", r"0 received, 100% \1\n"),
        ),
        "ping -c 1 -W .3 10.78.1.9 # raw",
    ),
    Difference(
        "and in a flood its dot stays",
        (
            (r"^0\n", "1\n"),
            ("\\.\b \b", "."),
            (r"1 received, 0% (.*\n)rtt .*\n", r"0 received, 100% \1\n"),
        ),
        "ping -f -c 1 -i .3 -W .3 10.78.1.9 # raw",
    ),
    Difference(
        "a dump of the quoted IP header that only raw sockets of iputils show",
        ((r"^Vr HL TOS .*\n.*\n", ""),),
    ),
    Difference(
        "once is enough",
        ((r"^(ping: socktype: SOCK_RAW\nping: socket: Operation not permitted\n)\1", r"\1"),),
    ),
]


def differences_of(text: str, who: str) -> list[Difference]:
    """Those that name the line."""
    return [difference for difference in NEWER + BETTER if difference.concerns(text, who)]


def expected_of_ours(report: str, text: str, who: str) -> str:
    """What ours is to do, given iputils' report. AssertionError if a difference is no longer there."""
    for difference in NEWER + BETTER:
        if not difference.lines or difference.concerns(text, who):
            for pattern, ours in difference.changes:
                report, count = re.subn(pattern, ours, report, flags=re.MULTILINE)
                assert count or not difference.lines, f"iputils does not do it any more: {pattern!r} in\n{report}"
    return report
