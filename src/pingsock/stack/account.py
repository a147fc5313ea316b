"""What the sockets of one owner may have queued together."""

from __future__ import annotations

import sys


class Account:
    """Bytes of received packets and errors that wait in sockets, as the sockets' receive buffers count them."""

    __slots__ = ("limit", "queued")

    def __init__(self, limit: int = sys.maxsize) -> None:
        self.limit = limit
        self.queued = 0

    @property
    def is_full(self) -> bool:
        """What arrives now is dropped."""
        return self.queued >= self.limit


UNLIMITED = Account()
"""Of sockets whose owner has no limit."""
