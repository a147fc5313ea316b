"""The value given to setsockopt(2): a function that takes one, and the number in it."""

from __future__ import annotations

import struct
from errno import EINVAL

from pingsock.stack.failure import failure
from pingsock.wire.linux import SOL_IP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

    Setter = Callable[[Endpoint, bytes], None]


def integer(level: int, value: bytes) -> int:
    """The number in an option value: four bytes, or at SOL_IP one to three of which the first counts."""
    if len(value) >= 4:
        return int(struct.unpack_from("=i", value)[0])
    if level != SOL_IP:
        raise failure(EINVAL)
    return value[0] if value else 0
