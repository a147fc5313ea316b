"""Which function executes which system call."""

from __future__ import annotations

from pingsock.run.calls import control, naming, options, receiving, sending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.run.call import Call, Outcome

HANDLERS: dict[str, Callable[[Call], Outcome]] = {
    "accept": naming.listen_or_accept,
    "accept4": naming.listen_or_accept,
    "bind": naming.bind,
    "close": control.close,
    "connect": naming.connect,
    "dup": control.dup,
    "dup2": control.dup2,
    "dup3": control.dup3,
    "fcntl": control.fcntl,
    "getpeername": naming.getpeername,
    "getsockname": naming.getsockname,
    "getsockopt": options.getsockopt,
    "ioctl": control.ioctl,
    "listen": naming.listen_or_accept,
    "read": receiving.read,
    "readv": receiving.readv,
    "recvfrom": receiving.recvfrom,
    "recvmmsg": receiving.recvmmsg,
    "recvmsg": receiving.recvmsg,
    "sendmmsg": sending.sendmmsg,
    "sendmsg": sending.sendmsg,
    "sendto": sending.sendto,
    "setsockopt": options.setsockopt,
    "shutdown": control.shutdown,
    "write": sending.write,
    "writev": sending.writev,
}
