"""What `ping` prints, exactly as iputils 20250605 does. Nothing here knows a socket or a clock.

Programs read these lines: a changed blank breaks somebody's monitoring.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.probe.tally import Tally

_IPV4_AND_ICMP_HEADERS = 28
_TIME_BYTES = 16
_BYTES_A_LINE = 32
_FLOAT = Struct("=f")


def header(
    *,
    ipv6: bool,
    host: str,
    address: str,
    size: int,
    source: str,
    device: str,
    options: int = 0,
    flow_label: int = 0,
) -> str:
    """The first line. `source` is "" if the user asked neither for an address nor for a device.

    `options` is the size of the IPv4 options.
    """
    flow = f", flow 0x{flow_label:05x}, " if flow_label else ""
    origin = f"from {source} {device}: " if source else ""
    amount = f"{size} data bytes" if ipv6 else f"{size}({size + _IPV4_AND_ICMP_HEADERS + options}) bytes of data."
    return f"PING {host} ({address}) {flow}{origin}{amount}\n"


def round_trip(microseconds: int) -> str:
    """A time in milliseconds with three digits that count, rounded half up at each edge."""
    if microseconds >= 99_950:
        return f"{(microseconds + 500) // 1000}"
    if microseconds >= 9_995:
        return f"{(microseconds + 50) // 1000}.{(microseconds + 50) % 1000 // 100}"
    if microseconds >= 1_000:
        return f"{(microseconds + 5) // 1000}.{(microseconds + 5) % 1000 // 10:02}"
    return f"0.{microseconds:03}"


def reply(
    *,
    size: int,
    source: str,
    said: str,
    hop_limit: int,
    microseconds: int | None,
    ident: int = -1,
    precise: bool = False,
    truncated: bool = False,
    duplicate: bool = False,
    corrupted: bool = False,
    other_source: bool = False,
    behind: str = "",
) -> str:
    """One reply that `said` something: " icmp_seq=1".

    `microseconds` is None if round trips are not shown, `ident` and `hop_limit` are -1 if they are not known, `behind`
    is what belongs to the line and stands behind it.
    """
    line = f"{size} bytes from {source}:{said}"
    if ident >= 0:
        line += f" ident={ident}"
    if hop_limit >= 0:
        line += f" ttl={hop_limit}"
    if truncated:
        return line + " (truncated)\n"
    if microseconds is not None:
        line += f" time={_milliseconds(microseconds) if precise else round_trip(microseconds)} ms"
    if duplicate:
        line += " (DUP!)"
    if corrupted:
        line += " (BAD CHECKSUM!)"
    if other_source:
        line += " (DIFFERENT ADDRESS!)"
    return line + behind + "\n"


def wrong_data(payload: bytes, sent: int, at: int) -> str:
    """What is appended to a reply whose payload differs from what was sent, first at index `at`.

    `sent` is the byte that should be there. All of the payload is shown but the time at its start.
    """
    lines = [f"\nwrong data byte #{at} should be 0x{sent:x} but was 0x{payload[at]:x}"]
    for start in range(_TIME_BYTES, len(payload), _BYTES_A_LINE):
        shown = payload[start : start + _BYTES_A_LINE]
        lines.append(f"\n#{start}\t" + "".join(f"{byte:x} " for byte in shown))
    return "".join(lines)


def summary(tally: Tally, *, host: str, elapsed: int, timed: bool, unpaced: bool) -> str:
    """The last lines. `elapsed` is nanoseconds from start to last probe; `unpaced` is interval 0."""
    counts = f"{tally.transmitted} packets transmitted, {tally.received} received"
    if tally.duplicates:
        counts += f", +{tally.duplicates} duplicates"
    if tally.corrupted:
        counts += f", +{tally.corrupted} corrupted"
    if tally.errors:
        counts += f", +{tally.errors} errors"
    if tally.transmitted:
        loss = _as_float(tally.loss_percent)
        milliseconds = elapsed // 1_000_000_000 * 1000 + (elapsed % 1_000_000_000 + 500_000) // 1_000_000
        counts += f", {loss:g}% packet loss, time {milliseconds}ms"
    return f"\n--- {host} ping statistics ---\n{counts}\n{_round_trips(tally, elapsed, timed, unpaced)}\n"


def _round_trips(tally: Tally, elapsed: int, timed: bool, unpaced: bool) -> str:
    parts = []
    times = tally.round_trips
    if tally.received and timed:
        figures = (times.minimum, times.mean, times.maximum, times.deviation)
        parts.append(f"rtt min/avg/max/mdev = {'/'.join(map(_milliseconds, figures))} ms")
    if tally.pipe > 1:
        parts.append(f"pipe {tally.pipe}")
    if tally.received and unpaced and tally.transmitted > 1:
        gap = elapsed // 1000 // (tally.transmitted - 1)
        parts.append(f"ipg/ewma {_milliseconds(gap)}/{_milliseconds(times.smoothed)} ms")
    return ", ".join(parts)


def status(tally: Tally, *, timed: bool) -> str:
    """The line SIGQUIT asks for, for standard error."""
    line = f"\r{tally.received}/{tally.transmitted} packets, {int(tally.loss_percent)}% loss"
    times = tally.round_trips
    if tally.received and timed:
        figures = (times.minimum, times.mean, times.smoothed, times.maximum)
        line += f", min/avg/ewma/max = {'/'.join(map(_milliseconds, figures))} ms"
    return line + "\n"


_TIMED = {
    "kernel": "between the kernel's stamps",
    "receive": "up to the kernel's receive stamp",
    "clock": "by this program's clock",
}


def timing(counts: dict[str, int]) -> str:
    """How so many round trips were measured: the records' `timed` -> number."""
    told = ", ".join(f"{number} {_TIMED.get(how, how)}" for how, number in counts.items())
    return f"round trips: {told}"


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds // 1000}.{microseconds % 1000:03}"


def _as_float(number: float) -> float:
    """The number as C's `float` has it, which decides the last digit of a loss now and then."""
    narrowed: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    return narrowed
