"""The program, in classic BPF, that decides which system calls are ours.

Ours are socket(2) for ping sockets, and calls whose descriptor is in the range of numbers served sockets get.
Everything else is allowed at once; the kernel knows beforehand which system calls the filter allows whatever their
arguments, and does not even run it for those.
"""

from __future__ import annotations

from pingsock.run.syscalls import FCNTL_COMMANDS, ON_DESCRIPTOR
from pingsock.wire import linux
from pingsock.wire.bpf import AND, JUMP_AT_LEAST, JUMP_EQUAL, RETURN, any_of, assemble, op
from pingsock.wire.seccomp import ALLOW, NOTIFY, beginning, load_argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.wire.bpf import Line
    from pingsock.wire.syscalls import Architecture

SOCKET_TYPE_MASK = 0xF

PING_PROTOCOLS = ((linux.AF_INET, linux.IPPROTO_ICMP), (linux.AF_INET6, linux.IPPROTO_ICMPV6))


def filter_program(architecture: Architecture, descriptors: range) -> bytes:
    """The program for one architecture's table; other tables' calls are allowed (and the kernel's matter)."""
    numbers = architecture.numbers
    return assemble(
        [
            *beginning(architecture.audit, ALLOW),
            *any_of([numbers[name] for name in ON_DESCRIPTOR if name in numbers], "descriptor"),
            op(JUMP_EQUAL, numbers["fcntl"], "fcntl"),
            op(JUMP_EQUAL, numbers["socket"], "socket", "allow"),
            *_of_socket(),
            *_of_fcntl(),
            load_argument(0, label="descriptor"),
            op(JUMP_AT_LEAST, descriptors.start, "", "allow"),
            op(JUMP_AT_LEAST, descriptors.stop, "allow", "notify"),
            op(RETURN, ALLOW, label="allow"),
            op(RETURN, NOTIFY, label="notify"),
        ]
    )


def _of_socket() -> list[Line]:
    lines = [
        load_argument(1, label="socket"),
        op(AND, SOCKET_TYPE_MASK),
        op(JUMP_EQUAL, linux.SOCK_DGRAM, "", "allow"),
        load_argument(0),
        *[op(JUMP_EQUAL, family, f"family {family}") for family, _protocol in PING_PROTOCOLS],
        op(RETURN, ALLOW),
    ]
    for family, protocol in PING_PROTOCOLS:
        lines += [load_argument(2, label=f"family {family}"), op(JUMP_EQUAL, protocol, "notify", "allow")]
    return lines


def _of_fcntl() -> list[Line]:
    return [load_argument(1, label="fcntl"), *any_of(FCNTL_COMMANDS, "descriptor"), op(RETURN, ALLOW)]
