"""Times of day as RFC 3339 writes them, for `ping --time iso`."""

from __future__ import annotations

import time

_SECOND, _MICROSECOND = 1_000_000_000, 1_000


def iso_time(nanoseconds: int) -> str:
    """A time since 1970 in the local time zone: 2026-03-01T12:30:00.123456+01:00."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S %z", time.localtime(seconds))
    day, _, zone = text.partition(" ")
    return f"{day}.{rest // _MICROSECOND:06}{zone[:3]}:{zone[3:5]}"
