"""What is measured, hidden: everything else that two runs print and send must be equal."""

from __future__ import annotations

import re

from drop_in.capture import described
from drop_in.runs import Line, Observation

_ROUNDED = r"(?:0\.\d{3}|[1-9]\.\d\d|[1-9]\d\.\d|[1-9]\d{2,})"
_THREE_DECIMALS = r"\d+\.\d{3}"
MEASURED = (
    (rf"time={_ROUNDED} ms", "time=T ms"),
    (rf"time={_THREE_DECIMALS} ms", "time=T.TTT ms"),
    (r"time \d+ms", "time Tms"),
    (rf"(min/avg/max/mdev|min/avg/ewma/max) = {_THREE_DECIMALS}(?:/{_THREE_DECIMALS}){{3}} ms", r"\1 = T ms"),
    (rf"ipg/ewma {_THREE_DECIMALS}/{_THREE_DECIMALS} ms", "ipg/ewma T ms"),
    (r"\bpipe \d+", "pipe N"),
    (r"^([.\b ]*)\[\d{10}\.\d{6}\] ", r"\1[NOW] "),
    # IP timestamps: in words of their own, at the end of lines that begin with a tab.
    (r"^((?:TS: )?\t(?:\S+(?: \(\S+\))?\t)?)-?\d+( absolute)?$", r"\1T\2"),
    # How many descriptors were open before is not what is compared.
    (r"\.fd: \d+", ".fd: N"),
)
_IDENT = (r" ident=\d+", " ident=I")
_PIPE = (r"(?:, )?\bpipe N\b", "")
_DOTS = re.compile(r"^[.\b ]*\.[.\b ]*", re.MULTILINE)
_SHORT = 0.1
"""Seconds; with an interval below, it is the machine's load that decides how many probes are in flight."""
_LABEL = (r"flow 0x[0-9a-f]{5},", "flow F,")


def report(observation: Observation, line: Line) -> str:
    """The run as one text, without what is measured."""
    ident, label = _chosen("-e", line), _chosen("-F", line)
    patterns = (*MEASURED, *([] if ident else [_IDENT]), *([] if label else [_LABEL]))
    out = observation.out
    if _is_fast(line):
        patterns = (*patterns, _PIPE)
        out = _DOTS.sub(_counted, out) if "-f" in line.arguments else out
    packets = described(observation.packets, shows_ident=ident, shows_label=label)
    sections = {
        "exit status": f"{observation.status}\n",
        "standard output": _masked(out, patterns),
        "standard error": _masked(observation.err, patterns),
        "on the wire": "".join(f"{packet}\n" for packet in packets),
    }
    return "".join(f"--- {title}\n{text}" for title, text in sections.items())


def _chosen(option: str, line: Line) -> bool:
    """Whether the user gave a number to this option, and not 0 by which somebody else chooses."""
    words = line.arguments
    return option in words and words[words.index(option) + 1] not in ("0", "")


def _counted(flood: re.Match[str]) -> str:
    dots = flood[0]
    return f"({dots.count('.')} dots, {dots.count(chr(8)) // 2} of them wiped)"


def _is_fast(line: Line) -> bool:
    words = line.arguments
    if "-A" in words or "-i" not in words:
        return "-A" in words or "-f" in words
    return _seconds(words[words.index("-i") + 1]) < _SHORT


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _masked(text: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text
