"""IPv6 extension headers given as socket options: checked, kept and read back; a ping socket sends none."""

from __future__ import annotations

from errno import EINVAL, EPERM

from pingsock.stack.failure import failure
from pingsock.wire.linux import IPV6_RTHDR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

LONGEST_HEADER = 8 * 255
ROUTING_HEADER_SIZE, SEGMENT_SIZE = 8, 16
"""Bytes of a segment routing header (RFC 8754 section 2)."""
SEGMENT_ROUTING = 4


def _checked_header(value: bytes) -> bytes:
    """An IPv6 extension header as it is kept, without what stands behind it; empty removes it."""
    if value and (len(value) & 7 or len(value) > LONGEST_HEADER or (value[1] + 1) * 8 > len(value)):
        raise failure(EINVAL)
    return value[: (value[1] + 1) * 8] if value else b""


def options_header_setter(option: int) -> Callable[[Endpoint, bytes], None]:
    """The setter of a header of options. EPERM without the capability, EINVAL."""

    def setter(endpoint: Endpoint, value: bytes) -> None:
        if not endpoint.credentials.capable:
            raise failure(EPERM)
        endpoint.options.extension_headers[option] = _checked_header(value)

    return setter


def set_routing_header(endpoint: Endpoint, value: bytes) -> None:
    """IPV6_RTHDR. EINVAL."""
    header = _checked_header(value)
    if value and (header != value or not _is_segment_routing(header)):
        raise failure(EINVAL)
    endpoint.options.extension_headers[IPV6_RTHDR] = header


def _is_segment_routing(header: bytes) -> bool:
    """Whether a routing header is of the only type Linux takes as an option, and whole down to its last TLV."""
    _next, length, kind, segments_left, last_entry = header[:5]
    if kind != SEGMENT_ROUTING or segments_left > last_entry or last_entry > length // 2 - 1:
        return False
    at = ROUTING_HEADER_SIZE + SEGMENT_SIZE * (last_entry + 1)
    while at + 2 <= len(header):
        at += 2 + header[at + 1]
    return at == len(header)
