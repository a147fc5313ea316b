"""bind, connect, getsockname, getpeername, and what ping sockets know nothing of."""

from __future__ import annotations

import os
from errno import EINVAL, EOPNOTSUPP

from pingsock.run.messages import read_address, write_address
from pingsock.service import frames
from pingsock.service.frames import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.call import Call


def _name_socket(call: Call, operation: int) -> int:
    length = call.number(2)
    if length < 0:
        raise OSError(EINVAL, os.strerror(EINVAL))
    sockaddr = read_address(call.memory, call.arguments[1], length) if length else b""
    # A null pointer with a length is a bad address, here as in the kernel.
    body = call.memory.read(0, length) if sockaddr is None else sockaddr
    call.commit()
    return call.file.ask(Request(operation, body=body)).result


def bind(call: Call) -> int:
    """bind(descriptor, address, length)."""
    return _name_socket(call, frames.BIND)


def connect(call: Call) -> int:
    """connect(descriptor, address, length)."""
    return _name_socket(call, frames.CONNECT)


def _tell_name(call: Call, operation: int) -> int:
    call.commit()
    name = call.file.ask(Request(operation)).body
    call.commit()
    write_address(call.memory, call.arguments[1], call.arguments[2], name)
    return 0


def getsockname(call: Call) -> int:
    """getsockname(descriptor, address, length's address)."""
    return _tell_name(call, frames.GETSOCKNAME)


def getpeername(call: Call) -> int:
    """getpeername(descriptor, address, length's address)."""
    return _tell_name(call, frames.GETPEERNAME)


def listen_or_accept(_call: Call) -> int:
    """EOPNOTSUPP, as on any datagram socket."""
    raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))
