from __future__ import annotations

import errno
import os
import re
import select
import socket
import threading

import pytest

from link.private_network import private_network
from pingsock.link.prefixes import parse_prefix
from pingsock.link.tun import TunDevice

__all__ = ["private_network"]
pytestmark = pytest.mark.usefixtures("private_network")


def next_ipv4(device: TunDevice) -> bytes:
    while True:
        assert select.select([device], [], [], 10)[0], "nothing arrived"
        packet = device.receive()
        if packet is not None and packet[0] >> 4 == 4:
            return packet


def udp_to(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", (address, 9))


def test_what_the_kernel_sends_to_the_devices_subnet_arrives_whole() -> None:
    with TunDevice("tt0") as device:
        device.configure(["10.9.0.1/24"])
        udp_to("10.9.0.2")
        packet = next_ipv4(device)
    assert packet[12:20] == bytes([10, 9, 0, 1, 10, 9, 0, 2])
    assert packet[28:] == b"hello"
    assert len(packet) == int.from_bytes(packet[2:4], "big")


def test_a_packet_that_is_sent_reaches_the_kernel_which_answers_it() -> None:
    echo_request = bytes.fromhex("0800f7fd00010001")
    header = bytes.fromhex("4500001c00010000400166cc0a0900020a090001")
    with TunDevice("tt0") as device:
        device.configure(["10.9.0.1/24"])
        device.send(header + echo_request)
        packet = next_ipv4(device)
    assert packet[9] == 1
    assert packet[20] == 0


def test_an_ipv6_address_is_usable_at_once() -> None:
    with TunDevice("tt0") as device:
        device.configure(["fd00:9::1/64"])
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.bind(("fd00:9::1", 0))
            sender.sendto(b"x", ("fd00:9::2", 9))


def test_routes_lead_to_the_device_on_link_and_through_a_router() -> None:
    with TunDevice("tt0") as device:
        device.configure(["10.9.0.1/24", "fd00:9::1/64"])
        for prefix, via in [
            ("192.0.2.0/24", None),
            ("0.0.0.0/0", "10.9.0.254"),
            ("2001:db8::/32", None),
            ("::/0", "fd00:9::fe"),
        ]:
            device.add_route(prefix, via)
        for target in ["192.0.2.7", "198.51.100.1", "2001:db8::1", "2001:db9::1"]:
            udp_to(target)
        received: list[bytes] = []
        while len(received) < 4 and select.select([device], [], [], 10)[0]:
            packet = device.receive()
            if packet and packet.endswith(b"hello"):
                received.append(packet[16:20] if packet[0] >> 4 == 4 else packet[24:28])
    assert received == [
        socket.inet_aton("192.0.2.7"),
        socket.inet_aton("198.51.100.1"),
        bytes.fromhex("20010db8"),
        bytes.fromhex("20010db9"),
    ]


def test_configuring_twice_is_no_error() -> None:
    with TunDevice("tt0") as device:
        for _ in range(2):
            device.configure(["10.9.0.1/24", "fd00:9::1/64"])
            device.add_route("192.0.2.0/24")


def test_the_mtu_is_the_kernels_too() -> None:
    with TunDevice("tt0", mtu=576) as device:
        device.configure(["10.9.0.1/24"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            with pytest.raises(OSError, match="too long"):
                sender.sendto(bytes(549), ("10.9.0.2", 9))
            sender.sendto(bytes(548), ("10.9.0.2", 9))


def test_receive_does_not_wait() -> None:
    with TunDevice("tt0") as device:
        assert device.receive() is None


def test_the_kernel_may_choose_the_number_in_the_name() -> None:
    with TunDevice("tt%d") as first, TunDevice("tt%d") as second:
        assert (first.name, second.name) == ("tt0", "tt1")
        assert socket.if_nametoindex("tt1") == second.index


def test_a_taken_name_is_an_error_that_names_the_device() -> None:
    with TunDevice("tt0"), pytest.raises(OSError, match="cannot open TUN device tt0") as caught:
        TunDevice("tt0")
    assert caught.value.errno == errno.EBUSY
    assert isinstance(caught.value.__cause__, OSError)


def test_a_name_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(OSError, match="longer than 15 bytes"):
        TunDevice("a-name-of-16-byte")


def test_sending_into_a_device_that_is_down_is_EIO() -> None:
    with TunDevice("tt0") as device, pytest.raises(OSError, match="cannot send to TUN device tt0") as caught:
        device.send(bytes.fromhex("4500001c00010000400166cc0a0900020a090001") + bytes(8))
    assert caught.value.errno == errno.EIO


def test_close_removes_the_device_and_may_be_repeated() -> None:
    device = TunDevice("tt0")
    device.close()
    device.close()
    assert device.fileno() == -1
    assert "tt0" not in [name for _, name in socket.if_nameindex()]
    with pytest.raises(OSError, match="cannot configure TUN device tt0: it is closed"):
        device.configure()


def test_a_device_stays_in_the_namespace_it_was_made_in() -> None:
    with TunDevice("tt0") as device:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

        def elsewhere() -> None:
            from link.private_network import CLONE_NEWNET, LIBC

            assert LIBC.unshare(CLONE_NEWNET) == 0
            device.configure(["10.9.0.1/24"])

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        os.close(home)
        udp_to("10.9.0.2")
        assert next_ipv4(device).endswith(b"hello")


@pytest.mark.parametrize("text", ["10.9.0.1/33", "fd00::1/129", "10.9.0/24", "router", "10.9.0.1/x", "10.9.0.1/-1"])
def test_a_bad_prefix_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_prefix(text)
