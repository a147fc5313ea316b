"""How many ICMP errors a node may send (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f)."""

from __future__ import annotations


class TokenBucket:
    """`rate` a second, `burst` at once; a rate of 0 is without limit."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = float(burst)
        self._counted_at = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may be sent at `now`, seconds."""
        if not self.rate:
            return True
        self._tokens = min(self.burst, self._tokens + (now - self._counted_at) * self.rate)
        self._counted_at = now
        # A token that rounding left at 0.9999999 was earned.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True
