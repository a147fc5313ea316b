"""The usage of `ping`, which few runs need. The shells' completions are made from the same tables."""

from __future__ import annotations

# (Option with its value, what it does.) A value in brackets may be left out.
COMMON = (
    ("-3", "show round trips with three decimals always"),
    ("-a", "ring the bell at each reply"),
    ("-A", "adapt the interval to the round trip"),
    ("-B", "keep the source address chosen at the start"),
    ("-c <count>", "stop after that many replies and errors"),
    ("-C", "connect the socket to the destination (IPv4)"),
    ("-d", "switch SO_DEBUG on"),
    ("-D", "show the time before each line"),
    ("-e <identifier>", "send with this identifier; 0 takes a raw socket"),
    ("-f", "flood: a dot for each probe, a backspace for each reply"),
    ("-h", "show this and exit"),
    ("-H", "look up names even if the destination is an address"),
    ("-i <interval>", "seconds between probes, at least 0.002 for users (default 1)"),
    ("-I <interface>", "send from this address, or by this device only"),
    ("-l <preload>", "send that many probes without waiting, at most 3 for users"),
    ("-L", "do not loop multicasts back"),
    ("-m <mark>", "mark the packets"),
    ("-M <pmtud opt>", "path MTU discovery: do, dont, want or probe"),
    ("-n", "show addresses, do not look up their names"),
    ("-O", "say which probes are not answered when the next is sent"),
    ("-p <pattern>", "fill the payload with up to 16 bytes in hexadecimal"),
    ("-q", "show the first line and the summary only"),
    ("-Q <tclass>", "type of service, or traffic class"),
    ("-r", "send to directly attached hosts only, past the routes"),
    ("-s <size>", "bytes of payload (default 56)"),
    ("-S <size>", "size of the socket's send buffer"),
    ("-t <ttl>", "time to live, or hop limit, of the probes"),
    ("-U", "show round trips as seen by this program, not by the kernel"),
    ("-v", "say more"),
    ("-V", "show the version and exit"),
    ("-w <deadline>", "stop after so many seconds, or with the first error"),
    ("-W <timeout>", "seconds to wait for the first reply at the end, 0 for ever (default 10)"),
)
IPV4 = (
    ("-4", "IPv4 only"),
    ("-b", "allow broadcast addresses"),
    ("-R", "record the route"),
    ("-T <timestamp>", "record times: tsonly, tsandaddr, or tsprespec and up to 4 hosts"),
)
IPV6 = (
    ("-6", "IPv6 only"),
    ("-F <flowlabel>", "flow label, 0 lets the kernel choose"),
    ("-N <nodeinfo opt>", "ask for node information, try help"),
)
NAMED = (
    ("--color", "colour lines, if standard output is a terminal and NO_COLOR is not set"),
    ("--info", "ask for information instead of an echo (ICMP)"),
    ("--json", "print a JSON object a line for everything that happens"),
    ("--mask", "ask for the address mask (ICMP)"),
    ("--max-loss <percent>", "exit with 3 if more packets are lost"),
    ("--max-rtt <ms>", "exit with 3 if a round trip is longer"),
    ("--percentiles", "end with percentiles, jitter and a histogram"),
    ("--probe <interface>", "ask for the state of an interface there (RFC 8335)"),
    ("--socket <kind>", "kernel, borrowed, served, embedded or raw"),
    ("--time <format>", "show the time before each line: iso or unix (as -D)"),
    ("--timestamp", "ask for the time (ICMP)"),
    ("--until-down[=<n>]", "end with status 0 when n probes in a row (default 3) are not answered"),
    ("--until-up[=<n>]", "end when n probes in a row (default 1) are answered"),
)


def usage(program: str) -> str:
    """The usage, for standard error."""
    lines = ["", "Usage", f"  {program} [options] <destination>", "", "Options:"]
    lines.append(f"  {'<destination>':<18} name or address of a host; hops before it are an IPv4 source route")
    lines += map(_line, COMMON)
    lines += ["", "IPv4 options:", *map(_line, IPV4), "", "IPv6 options:", *map(_line, IPV6)]
    lines += ["", "Options that iputils does not have:", *map(_line, NAMED)]
    return "\n".join(lines) + "\n"


def _line(option: tuple[str, str]) -> str:
    return f"  {option[0]:<18} {option[1]}"
