"""The one exception for malformed packets."""

from __future__ import annotations


class BadPacket(ValueError):
    """Bytes from the network (or given to be sent) are not what their protocol requires.

    The message names the structure, the offending number and what was needed.
    """
