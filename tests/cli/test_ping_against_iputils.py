"""Debian's ping, iputils 20221126, beside ours in the same network: output, errors and exit status are compared.

Measured numbers are masked. What iputils 20250605, whose behaviour ours has, does differently from 20221126 is stated
case by case in `NEWER`, and what ours does better in `BETTER`; both check what each of the two programs does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cli.ping_network import PingNetwork, Result, masked, ping_network

SAME = """
-c 2 -i 0.01 10.77.1.1
-c 2 -i 0.01 10.77.2.2
-c2 -i.01 fd77:2::2
-c 1 127.0.0.1
-c 1 ::1
-c 1 localhost
-6 -c 1 localhost
-c 2 -i .01 server.test
-nc 1 server.test
-c 1 server
-c 1 -n server6.test
-c 1 both.test
-t 1 -c 1 server.test
-nqc2 -i.01 10.77.2.2
10.77.2.2 -c 1 -q
-c 1 -- 10.77.2.2
-c 1 -q fd77:1::1
-t 1 -c 2 -i 0.01 10.77.2.2
-t 1 -c 2 -i 0.01 fd77:2::2
-t 64 -c 1 10.77.2.2
-q -t 1 -c 1 10.77.2.2
-c 1 10.77.3.0
-c 1 10.77.3.1
-c 1 10.77.3.2
-c 1 10.77.3.3
-c 1 10.77.3.4
-c 1 10.77.3.5
-c 1 10.77.3.6
-c 1 fd77:3::0
-c 1 fd77:3::1
-c 1 fd77:3::2
-c 1 fd77:3::3
-c 1 -W 0.2 10.77.3.99
-c 1 -W 0.2 fd77:3::99
-c 1 10.77.7.1
-c 1 10.77.8.1
-c 1 10.77.9.1
-c 1 fd77:7::1
-c 1 fd77:8::1
-c 1 fd77:9::1
-c 4 -i 0.5 -W 4 10.77.1.9
-c 1 -s 1450 10.77.2.2
-c 2 -i .1 -s 1450 10.77.2.2
-c 2 -i .1 -s 1450 fd77:2::2
-c 1 -s 3000 10.77.1.1
-c 1 -s 65507 10.77.1.1
-c 1 -s 65527 fd77:1::1
-c 2 -i .01 -s 0 10.77.2.2
-c 2 -i .01 -s 15 10.77.2.2
-c 2 -i .01 -s 16 fd77:2::2
-s x 10.77.1.1
-s -1 10.77.1.1
-c 0 10.77.1.1
-c x 10.77.1.1
-c 5x 10.77.1.1
-c '' 10.77.1.1
-c ' +1' 10.77.1.1
-c 0x1 10.77.1.1
-c 99999999999999999999 10.77.1.1
-c 9223372036854775808 10.77.1.1
-c 0 -Z 10.77.1.1
-t 256 10.77.1.1
-t 0 10.77.1.1
-t 0 -c 1 -W 0.2 fd77:1::1
-w 0.5 10.77.1.1
-w -1 10.77.1.1
-W -1 10.77.1.1
-W x -c 1 10.77.1.1
-i nan 10.77.1.1
-i inf 10.77.1.1
-i 1e10 10.77.1.1
-i 1e400 10.77.1.1
-i 1e-310 10.77.1.1
-i 1x -c 1 10.77.1.1
-i 0x1p-7 -c 2 10.77.1.1
-i 2147483.647 -c 3 10.77.1.1
-4 -6 10.77.1.1
-4 ::1
-6 127.0.0.1
nosuchname.invalid
''
' '
a..b
256.1.1.1
127.1 -c 1
0 -c 1
:: -c 1
-I nope -c 1 10.77.1.1
-I nope -c 1 fd77:1::1
-I ::g 10.77.1.1
-I 1.2.3.4 10.77.1.1
-I fd77::7 fd77:1::1
-I far -c 1 10.77.2.2
-I far -c 1 fd77:2::2
-I 10.77.1.2 -c 1 10.77.2.2
-I fd77:1::2 -c 1 fd77:2::2
-I fd77:1::2%far -c 1 fd77:2::2
-I lo -c 1 -W .2 10.77.2.2
-I lo -c 1 -W .2 10.77.1.2
-I far -I 10.77.1.2 -c 1 10.77.2.2
-I far -c 1 -W .2 127.0.0.1
-w 1 -c 2 -i 0.2 10.77.2.2
-w 1 10.77.3.1
-w 1 10.77.3.99
-c 1 -W 0.2 224.0.0.1
-c 1 -W 0.2 ff02::1%far
-c 1 255.255.255.255
-c 1 10.77.1.255
-c 1 -W 0.3 fe80::1%far
-a -c 2 -i .01 10.77.2.2
-A -c 5 10.77.2.2
-A -c 5 fd77:2::2
-A -i .2 -c 3 -q 10.77.2.2
-b -c 1 -W .3 10.77.1.255
-b -c 1 -W .3 -M dont 10.77.1.255
-b -c 1 -W .3 -M do 10.77.1.255
-b -c 1 10.77.2.2
-B -c 1 10.77.2.2
-B -c 1 fd77:2::2
-B -I far -c 1 10.77.2.2
-C -c 1 10.77.2.2
-C -c 1 fd77:2::2
-d -c 1 10.77.2.2
-e 4711 -c 1 10.77.2.2
-e 4712 -c 1 fd77:2::2
-e 65536 10.77.2.2
-e -1 10.77.2.2
-e 0x12 10.77.2.2
-F 0x100000 -c 1 fd77:2::2
-F x -c 1 fd77:2::2
-F '' -c 1 10.77.2.2
-F 7 -c 1 10.77.2.2
-f -i .01 -c 5 10.77.2.2
-f -i .01 -c 5 fd77:2::2
-f -i .01 -c 3 -q 10.77.2.2
-f -i .01 -c 2 -a 10.77.2.2
-f -i .01 -c 2 10.77.3.1
-f -i .01 -c 2 fd77:3::1
-f -i .05 -c 2 -W .2 10.77.3.99
-l 3 -c 3 -i .2 10.77.2.2
-l 3 -c 5 -i .2 10.77.2.2
-l 0 -c 1 10.77.2.2
-l 65537 -c 1 10.77.2.2
-l 3 -i 1000000 -c 1 10.77.2.2
-L -c 1 -W .2 224.0.0.1
-L -c 1 -W .2 ff02::1%far
-M do -c 1 10.77.2.2
-M dont -c 1 -s 2000 10.77.2.2
-M dont -c 1 -s 2000 fd77:2::2
-M want -c 1 -s 2000 10.77.1.1
-M do -c 1 -s 2000 10.77.1.1
-M do -c 1 -s 2000 fd77:1::1
-M xx -c 1 10.77.1.1
-M dont -c 1 -W .2 224.0.0.1
-O -c 2 -i .2 -W .2 10.77.3.99
-O -q -c 2 -i .2 -W .2 10.77.3.99
-O -c 3 -i .1 10.77.3.1
-O -c 3 -i .1 10.77.2.2
-p ff -c 1 10.77.2.2
-p fff -c 1 10.77.2.2
-p '' -c 1 10.77.2.2
-p 0102030405060708090a0b0c0d0e0f101112 -c 1 10.77.2.2
-p 12zz -c 1 10.77.2.2
-p 0x12 -c 1 10.77.2.2
-q -p ab -c 1 10.77.2.2
-p ab -s 5 -c 1 10.77.2.2
-Q 0x10 -c 1 10.77.2.2
-Q 255 -c 1 fd77:2::2
-Q 256 -c 1 10.77.2.2
-Q x -c 1 10.77.2.2
-Q 12x -c 1 10.77.2.2
-Q -1 -c 1 10.77.2.2
-Q -2 -c 1 10.77.2.2
-Q -2 -4 -c 1 10.77.2.2
-Q '' -c 1 10.77.2.2
-Q 0x -c 1 10.77.2.2
-r -c 1 10.77.1.1
-r -c 1 fd77:1::1
-R -c 2 -i .05 10.77.1.1
-R -c 2 -i .05 127.0.0.1
-R -c 1 server.test
-R -c 1 fd77:1::1
-R -T tsonly 10.77.1.1
-T tsonly -R 10.77.1.1
-T nope 10.77.1.1
-c 1 nosuch.invalid 10.77.2.2
-S 4000 -c 1 10.77.2.2
-S 0 -c 1 10.77.2.2
-U -c 2 -i .01 10.77.2.2
-c 1 -w 0 10.77.2.2
""".strip().splitlines()

FOR_ROOT = """
-i 0,5 -c 1 10.77.1.1
-i 0 -c 3 10.77.1.1
-i 0.001 -c 3 10.77.1.1
-i x -c 2 10.77.1.1
-i 1e-400 -c 2 10.77.1.1
""".strip().splitlines()
"""What users are refused, in other words since 20240905: see NEWER."""


class Difference(NamedTuple):
    """One command line, what is printed on either stream with the exit status, and why that is right."""

    command: str
    ours: tuple[str, int]
    iputils: tuple[str, int]
    reason: str
    who: str = "root user"


NEWER = [
    Difference(
        "",
        ("usage error: Destination address required", 2),
        ("usage error: Destination address required", 1),
        "20250605 exits 2, as for all usage errors",
    ),
    Difference(
        "-c 1 -W 0.2 -s 65508 10.77.1.1",
        ("ping: invalid -s value: '65508': out of range: 0 <= value <= 65507\n", 1),
        ("local error: message too long, mtu=1500", 1),
        "20250605 checks the size beforehand",
    ),
    Difference(
        "-c 1 -W 0.2 -s 65528 fd77:1::1",
        ("ping: invalid -s value: '65528': out of range: 0 <= value <= 65527\n", 1),
        ("65528 data bytes", 1),
        "20250605 checks the size beforehand",
    ),
    Difference(
        "-c 1 -i -1 10.77.1.1",
        ("bad timing interval: -1\n", 2),
        ("1 received", 0),
        "20250605 refuses negative intervals",
        "root",
    ),
    Difference(
        "-c 1 -W 4295 10.77.1.1",
        ("bad linger time: 4295\n", 2),
        ("1 received", 0),
        "20250602 and later refuse what overflows microseconds in 32 bits",
    ),
    Difference(
        "-i 0 -c 3 10.77.1.1",
        ("cannot flood, minimal interval for user must be >= 2 ms, use -i 0.002 (or higher)\n", 2),
        ("cannot flood; minimal interval allowed for user is 2ms\n", 2),
        "20240905 and later name the option to use",
        "user",
    ),
    Difference(
        "-c 1 -i 0.2 224.0.0.1",
        ("minimal interval for broadcast ping for user must be >= 1000 ms, use -i 1 (or higher)\n", 2),
        ("broadcast ping with too short interval: 200\n", 2),
        "20240905 and later name the option to use",
        "user",
    ),
    Difference(
        "-c 1 fd77:3::4",
        ("Destination unreachable: Source address failed ingress/egress policy\n", 1),
        ("Destination unreachable: Unknown code 5\n", 1),
        "later versions know RFC 4443's codes 5 and 6",
    ),
    Difference(
        "-c 1 fd77:3::5",
        ("Destination unreachable: Reject route to destination\n", 1),
        ("Destination unreachable: Unknown code 6\n", 1),
        "later versions know RFC 4443's codes 5 and 6",
    ),
    Difference(
        "-V", ("pingsock 0.1.0 (iputils-compatible)\n", 0), ("ping from iputils 20221126\n", 0), "it is another program"
    ),
    Difference(
        "-h",
        ("\nUsage\n  ping [options] <destination>\n\nOptions:\n", 2),
        ("\nUsage\n  ping [options] <destination>\n\nOptions:\n", 2),
        "the usage lists other options in other words",
    ),
    Difference(
        "-Z", ("ping: invalid option -- 'Z'\n\nUsage\n", 2), ("ping: invalid option -- 'Z'\n\nUsage\n", 2), "as for -h"
    ),
    Difference(
        "--help", ("ping: invalid option -- '-'\n\nUsage", 2), ("ping: invalid option -- '-'\n\nUsage", 2), "as for -h"
    ),
    Difference(
        "-c",
        ("ping: option requires an argument -- 'c'\n\nUsage\n", 2),
        ("ping: option requires an argument -- 'c'\n\nUsage\n", 2),
        "as for -h",
    ),
    Difference(
        "-c 1 server6.test",
        ("PING server6.test (fd77:2::2) 56 data bytes\n64 bytes from server6.test (fd77:2::2): icmp_seq=1", 0),
        ("PING server6.test(server6.test (fd77:2::2)) 56 data bytes\n64 bytes from server6.test (fd77:2::2): icmp_", 0),
        "20240905 and later print IPv6 like IPv4",
    ),
    Difference(
        "-i '' 10.77.1.1",
        ("bad timing interval: \n", 2),
        ("bad timing interval: : No such file or directory\n", 2),
        "an errno that was left over from something else",
    ),
    *(
        Difference(command, ("\nUsage\n  ping [options] <destination>\n", 2), ("\nUsage\n", 2), "as for -h")
        for command in (
            "-? 10.77.2.2",
            "-R -c 1 10.77.1.1 10.77.2.2",
            "-T tsonly -c 1 10.77.1.1 10.77.2.2",
            "-T tsprespec -c 1 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 10.77.2.2",
            "-c 1 fd77:1::1 fd77:2::2",
            f"-c 1 {10 * '1.1.1.1 '} 10.77.1.1",
        )
    ),
    Difference(
        "-p ab -q -c 1 10.77.2.2",
        ("PATTERN: 0xab\nPING", 0),
        ("PING", 0),
        "20240905 and later fill and tell as soon as they read -p",
    ),
    Difference(
        "-b -c 1 -i .2 10.77.2.2",
        ("minimal interval for broadcast ping for user must be >= 1000 ms, use -i 1 (or higher)\n", 2),
        ("broadcast ping with too short interval: 200\n", 2),
        "20240905 and later name the option to use",
        "user",
    ),
    Difference(
        "-F 0x12345 -c 1 fd77:2::2",
        ("can't set flowlabel: Operation not permitted\n", 2),
        ("PING fd77:2::2(fd77:2::2) , flow 0x12345, 56 data bytes\n64 bytes", 0),
        "one program leases the label, and no other can for six seconds after it ended",
        "user",
    ),
    *(
        Difference(command, ("PING", 0), ("invalid option", 2), "20231222 and later know -H")
        for command in ("-H -c 1 10.77.2.2", "-n -H -c 1 10.77.2.2")
    ),
    Difference("-3 -c 1 10.77.2.2", ("time=T ms", 0), ("invalid option", 2), "20240905 and later know -3"),
    *(
        Difference(
            f"-v -c 1 {host}",
            (
                f"hints.ai_family: {hints}\nping: ai->ai_family: {family}, ai->ai_canonname: '{name}'\n{behind}",
                status,
            ),
            (f"ai->ai_family: {family}, ai->ai_canonname: '{name}'\n", status),
            "later versions say this on standard error; and we say how round trips were measured",
        )
        for host, hints, family, name, behind, status in (
            ("10.77.2.2", "AF_UNSPEC", "AF_INET", "10.77.2.2", "ping: round trips: 1 between the kernel's stamps\n", 0),
            ("-4 server.test", "AF_INET", "AF_INET", "server.test", "ping: round trips: 1 between", 0),
            ("fd77:2::2", "AF_UNSPEC", "AF_INET6", "fd77:2::2", "ping: round trips: 1 between", 0),
            ("-U ::1", "AF_UNSPEC", "AF_INET6", "::1", "ping: round trips: 1 by this program's clock\n", 0),
            ("-6 10.77.2.2", "AF_INET6", "AF_INET", "10.77.2.2", "ping: 10.77.2.2: Address family for", 2),
            ("-4 ::1", "AF_INET", "AF_INET6", "::1", "ping: ::1: Address family for hostname not supported\n", 2),
        )
    ),
    Difference(
        "-e 4713 -v -c 1 127.0.0.1",
        ("icmp_seq=1 ident=4713 ttl=64 time=T ms\n", 0),
        ("icmp_seq=1 ident=4713 ttl=64 time=T ms\n", 0),
        "as for -v",
    ),
]

BETTER = [
    Difference(
        "-I 127.0.0.1 -c 1 -W .2 10.77.2.2",
        ("0 received, +1 errors, 100% packet loss, time Tms\n\nping: sendmsg: Invalid argument\n", 1),
        ("1 packets transmitted, 0 received, 100% packet loss, time Tms\n\n", 1),
        "a send that failed has a reason and is not waited for",
    ),
    Difference(
        "-c 1 -W 0.2 fe80::1",
        ("=> use: address%<ifname|scope-id>\nping: connect: Invalid argument\n", 2),
        ("1 packets transmitted, 0 received", 1),
        "iputils asks for no route here and then fails to send, silently and for ever",
    ),
]


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    with ping_network("pingcmp") as network:
        yield network


def of_iputils(network: PingNetwork, arguments: list[str], *, user: bool) -> Result:
    result = network.run("iputils", arguments, user=user)
    return Result(result.out, result.err.replace(f"{network.programs}/ping: ", "ping: "), result.status)


def with_blank_before_address(text: str) -> str:
    """The first line for IPv6 as 20240905 and later write it, alike for both families."""
    return re.sub(
        r"^PING (\S*:\S*?)\((\S+)\) ", r"PING \1 (\2) ", re.sub(r"^PING (\S+?)\((\S*:\S*)\) ", r"PING \1 (\2) ", text)
    )


def everything(result: Result) -> str:
    return masked(result.out + result.err)


@pytest.mark.parametrize("command", SAME)
def test_both_print_and_return_the_same(network: PingNetwork, command: str) -> None:
    check_same(network, command, user=True)


@pytest.mark.parametrize("command", FOR_ROOT)
def test_both_print_and_return_the_same_for_root(network: PingNetwork, command: str) -> None:
    check_same(network, command, user=False)


def check_same(network: PingNetwork, command: str, *, user: bool) -> None:
    arguments = shlex.split(command)
    theirs = of_iputils(network, arguments, user=user)
    ours = network.run("ours", arguments, user=user)

    assert masked(ours.out) == masked(with_blank_before_address(theirs.out))
    assert ours.err == theirs.err
    assert ours.status == theirs.status


@pytest.mark.parametrize(
    ("difference", "who"),
    [(difference, who) for difference in NEWER + BETTER for who in difference.who.split()],
    ids=lambda value: value.command or "(nothing)" if isinstance(value, Difference) else value,
)
def test_where_they_differ_is_known_and_has_a_reason(network: PingNetwork, difference: Difference, who: str) -> None:
    arguments = shlex.split(difference.command)
    theirs = of_iputils(network, arguments, user=who == "user")
    ours = network.run("ours", arguments, user=who == "user")

    assert difference.ours[0] in everything(ours)
    assert ours.status == difference.ours[1]
    assert difference.iputils[0] in everything(theirs)
    assert theirs.status == difference.iputils[1]
    assert ours != theirs
