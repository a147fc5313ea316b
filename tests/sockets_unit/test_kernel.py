from __future__ import annotations

import errno
import os
import pickle
import socket
import warnings

import pytest

from pingsock.sockets.errors import InvalidArgument, NoPingSocket, PingsockError
from pingsock.sockets.kernel import KernelPingSocket
from sockets_unit.private import EVERYBODY, in_private_network

FAMILIES = [socket.AF_INET, socket.AF_INET6]


@pytest.mark.parametrize("family", FAMILIES)
def test_is_what_the_standard_library_would_open(family: socket.AddressFamily) -> None:
    def inside() -> tuple[object, ...]:
        with KernelPingSocket(family) as opened:
            return isinstance(opened, socket.socket), opened.family, opened.type, opened.proto, opened.getsockname()[1]

    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    seen = in_private_network(inside, group_range=EVERYBODY)
    assert seen == (True, family, socket.SOCK_DGRAM, protocol, 0)


def test_is_ipv4_if_nothing_is_said() -> None:
    def inside() -> int:
        with KernelPingSocket() as opened:
            return opened.family

    assert in_private_network(inside, group_range=EVERYBODY) == socket.AF_INET


def test_changes_no_setting_of_the_kernel() -> None:
    def inside() -> int:
        with KernelPingSocket() as opened:
            return opened.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)

    assert in_private_network(inside, group_range=EVERYBODY) == 1


def test_kind_is_a_fact_of_the_class() -> None:
    assert KernelPingSocket.kind == "kernel"


def test_refusal_is_the_kernels_permission_error() -> None:
    with pytest.raises(PermissionError) as refusal:
        in_private_network(KernelPingSocket)
    assert refusal.value.errno == errno.EACCES


@pytest.mark.parametrize("family", FAMILIES)
def test_takes_over_a_descriptor(family: socket.AddressFamily) -> None:
    def inside() -> tuple[object, ...]:
        descriptor = KernelPingSocket(family).detach()
        with KernelPingSocket(fileno=descriptor) as opened:
            return opened.family, opened.fileno() == descriptor

    assert in_private_network(inside, group_range=EVERYBODY) == (family, True)


def test_another_socket_is_refused_and_stays_the_callers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(InvalidArgument, match="a ping socket") as refusal:
            KernelPingSocket(fileno=udp.fileno())
        assert refusal.value.value == udp.fileno()
        assert udp.getsockname() == ("0.0.0.0", 0)


def test_a_closed_descriptor_is_the_systems_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        KernelPingSocket(fileno=reader)


def test_another_family_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="family must be AF_INET or AF_INET6, not 17"):
        KernelPingSocket(17)


def test_dup_is_a_second_descriptor_of_one_socket() -> None:
    def inside() -> tuple[object, ...]:
        with KernelPingSocket() as first:
            first.settimeout(3)
            first.bind(("127.0.0.1", 4711))
            with first.dup() as second:
                return type(second), second.getsockname(), second.gettimeout(), second.get_inheritable()

    seen = in_private_network(inside, group_range=EVERYBODY)
    assert seen == (KernelPingSocket, ("127.0.0.1", 4711), 3, False)


def test_echo_round_trip() -> None:
    def inside() -> tuple[bytes, tuple[str, int]]:
        with KernelPingSocket() as opened:
            opened.settimeout(5)
            opened.sendto(b"\x08\0\0\0\0\0\0\x07payload", ("127.0.0.1", 0))
            reply, sender = opened.recvfrom(100)
            return reply[:2] + reply[6:], sender

    assert in_private_network(inside, group_range=EVERYBODY) == (b"\0\0\0\x07payload", ("127.0.0.1", 0))


def test_forgotten_socket_warns_like_any_other() -> None:
    def inside() -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            KernelPingSocket()
        return [warning.category.__name__ for warning in caught]

    assert in_private_network(inside, group_range=EVERYBODY) == ["ResourceWarning"]


class TestErrors:
    def test_invalid_argument_names_argument_value_and_requirement(self) -> None:
        error = InvalidArgument("size", 70000, "from 0 to 65507")
        assert str(error) == "size must be from 0 to 65507, not 70000"
        assert (error.name, error.value, error.requirement) == ("size", 70000, "from 0 to 65507")

    def test_invalid_argument_is_a_value_error(self) -> None:
        assert issubclass(InvalidArgument, ValueError)
        assert issubclass(InvalidArgument, PingsockError)

    def test_no_ping_socket_says_what_was_tried_and_where_to_look(self) -> None:
        refusals = [("kernel", PermissionError(errno.EACCES, "Permission denied"))]
        error = NoPingSocket(refusals)
        assert error.refusals == tuple(refusals)
        assert "kernel: Permission denied" in str(error)
        assert "pingsock doctor" in str(error)

    @pytest.mark.parametrize("error", [InvalidArgument("ttl", 0, "1 or more"), NoPingSocket([])], ids=repr)
    def test_errors_survive_pickling(self, error: PingsockError) -> None:
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
