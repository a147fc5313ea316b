"""close, dup, dup2, dup3, fcntl, ioctl, shutdown: calls on the descriptor or on its file.

The program's descriptor is a real one, so what concerns only descriptors is left to the kernel: closing, flags that
are inherited or not, signals for input. O_NONBLOCK is the kernel's too, but we have to know it.
"""

from __future__ import annotations

import os
import struct
from errno import EINVAL, ENOTTY

from pingsock.run.call import KERNEL, Duplicate
from pingsock.run.syscalls import F_DUPFD_CLOEXEC, F_SETFL
from pingsock.service import frames
from pingsock.service.frames import Request
from pingsock.wire.linux import AF_INET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.run.call import Call, Outcome

FIONBIO = 0x5421
NOT_OF_PING_SOCKETS = {0x541B, 0x5411, 0x8905}
"""FIONREAD, SIOCOUTQ, SIOCATMARK."""
OF_INTERNET_SOCKETS = {0x8915, 0x8917, 0x8919, 0x891B}
"""SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK: asked of an interface, by any IPv4 socket."""
IFREQ_SIZE = 40


def close(_call: Call) -> Outcome:
    """close(descriptor)."""
    return KERNEL


def dup(_call: Call) -> Outcome:
    """dup(descriptor): like every descriptor of a served socket, the new one gets a number of our range."""
    return Duplicate(0)


def dup2(call: Call) -> Outcome:
    """dup2(descriptor, number)."""
    if call.number(1) == call.number(0):
        return call.number(0)
    return Duplicate(call.number(1), exact=True)


def dup3(call: Call) -> Outcome:
    """dup3(descriptor, number, flags)."""
    if call.number(1) == call.number(0) or call.number(2) & ~os.O_CLOEXEC:
        raise OSError(EINVAL, os.strerror(EINVAL))
    return Duplicate(call.number(1), exact=True, close_on_exec=bool(call.number(2)))


def fcntl(call: Call) -> Outcome:
    """fcntl(descriptor, command, argument), of commands the filter does not leave to the kernel."""
    command = call.number(1)
    if command == F_SETFL:
        call.commit()
        call.file.nonblocking = bool(call.number(2) & os.O_NONBLOCK)
        return KERNEL
    return Duplicate(call.arguments[2] & 0xFFFFFFFF, close_on_exec=command == F_DUPFD_CLOEXEC)


def ioctl(call: Call) -> Outcome:
    """ioctl(descriptor, request, argument)."""
    request = call.arguments[1] & 0xFFFFFFFF
    if request in NOT_OF_PING_SOCKETS:
        raise OSError(ENOTTY, os.strerror(ENOTTY))
    if request == FIONBIO:
        nonblocking = bool(call.memory.read_int(call.arguments[2]))
        call.commit()
        call.file.nonblocking = nonblocking
    elif request in OF_INTERNET_SOCKETS and call.file.family == AF_INET:
        return _ask_interface(call, request)
    return KERNEL


def _ask_interface(call: Call, request: int) -> int:
    import fcntl as system
    import socket

    ifreq = call.memory.read(call.arguments[2], IFREQ_SIZE)
    call.commit()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as helper:
        answer = system.ioctl(helper, request, ifreq)
    call.memory.write(call.arguments[2], answer)
    return 0


def shutdown(call: Call) -> int:
    """shutdown(descriptor, how)."""
    how = call.number(1)
    call.commit()
    try:
        return call.file.ask(Request(frames.SHUTDOWN, struct.unpack("=i", struct.pack("=i", how))[0])).result
    finally:
        # It takes effect even if it fails with ENOTCONN; and the descriptor shows POLLRDHUP or POLLHUP from now on.
        if how in (0, 1, 2):
            with call.borrow() as borrowed:
                borrowed.shutdown(how)
