"""What a raw link delivers is compared with what came in at the interface, byte for byte."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from link.raw_bed import Hosts, Listener, Tap, echo_request, family_of, icmp_of, packed, write_sysctl
from pingsock.link import raw_receive
from pingsock.link.fragments import fragment_ipv4, fragment_ipv6
from pingsock.link.kernel_sysctls import KernelSysctls
from pingsock.link.netlink import Rtnetlink
from pingsock.link.raw import RawLink
from pingsock.wire import linux
from pingsock.wire.checksum import with_checksum, with_checksum6
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv6 import DESTINATION_OPTIONS, HOP_BY_HOP_OPTIONS, ExtensionHeader, IPv6Header, build_ipv6
from pingsock.wire.linux import AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, SOL_SOCKET
from pingsock.wire.transit import Outbound

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENT = 0x4711
NEAR4, ROUTER4 = packed("10.50.1.1"), packed("10.50.1.2")
NEAR6, ROUTER6 = packed("fd50:1::1"), packed("fd50:1::2")
HOP_BY_HOP = ExtensionHeader(HOP_BY_HOP_OPTIONS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
OPTIONS = ExtensionHeader(DESTINATION_OPTIONS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))


@pytest.fixture
def listener(hosts: Hosts) -> Iterator[Listener]:
    del hosts
    with RawLink.open() as link:
        yield Listener(link)


def reply4(payload: bytes = b"payload!", ident: int = IDENT, kind: int = 0) -> bytes:
    return with_checksum(bytes([kind, 0, 0, 0]) + ident.to_bytes(2, "big") + b"\0\1" + payload)


def reply6(payload: bytes = b"payload!", ident: int = IDENT, to: bytes = NEAR6, kind: int = 129) -> bytes:
    return with_checksum6(ROUTER6, to, bytes([kind, 0, 0, 0]) + ident.to_bytes(2, "big") + b"\0\1" + payload)


class Sender:
    """Puts whole IP packets on the cable from another host."""

    def __init__(self, hosts: Hosts, name: str = "router") -> None:
        with hosts.on(name):
            self._sockets = {
                4: socket.socket(AF_INET, socket.SOCK_RAW, linux.IPPROTO_RAW),
                6: socket.socket(AF_INET6, socket.SOCK_RAW, linux.IPPROTO_RAW),
            }

    def send(self, packet: bytes) -> None:
        if packet[0] >> 4 == 4:
            self._sockets[4].sendto(packet, (socket.inet_ntop(AF_INET, packet[16:20]), 0))
        else:
            scope = socket.if_nametoindex("a0")
            self._sockets[6].sendto(packet, (socket.inet_ntop(AF_INET6, packet[24:40]), 0, 0, scope))

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()


@pytest.fixture
def router(hosts: Hosts) -> Iterator[Sender]:
    sender = Sender(hosts)
    yield sender
    sender.close()


def test_an_ipv4_packet_is_delivered_as_it_came_in(hosts: Hosts, listener: Listener, router: Sender) -> None:
    tap = Tap("a0")
    packet = build_ipv4(IPv4Header(ROUTER4, NEAR4, ttl=17, traffic_class=0xB9, identification=0x1234), reply4())
    before = time.time_ns()
    router.send(packet)
    delivered, interface, stamp, fragment_size = listener.packet()
    assert delivered == tap.next(IPPROTO_ICMP) == packet
    assert interface == socket.if_nametoindex("a0")
    assert before < stamp < time.time_ns()
    assert fragment_size == 0
    tap.close()
    del hosts


def test_options_show_local_processing(listener: Listener, router: Sender) -> None:
    options = bytes([7, 11, 4]) + bytes(8) + b"\0"
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4, identification=1, options=options), reply4()))
    delivered = listener.packet()[0]
    assert delivered[20:32] == bytes([7, 11, 8]) + NEAR4 + bytes(5)


def test_an_ipv6_packet_comes_back_with_all_fields_of_its_header(listener: Listener, router: Sender) -> None:
    tap = Tap("a0")
    packet = build_ipv6(IPv6Header(ROUTER6, NEAR6, hop_limit=3, traffic_class=0x2B, flow_label=0xABCDE), reply6())
    before = time.time_ns()
    router.send(packet)
    delivered, interface, stamp, fragment_size = listener.packet()
    assert delivered == tap.next(IPPROTO_ICMPV6, lambda seen: seen[40] == 129) == packet
    assert (interface, fragment_size) == (socket.if_nametoindex("a0"), 0)
    assert before < stamp < time.time_ns()
    tap.close()


@pytest.mark.parametrize("headers", [[HOP_BY_HOP], [OPTIONS], [HOP_BY_HOP, OPTIONS]])
def test_extension_headers_come_back(listener: Listener, router: Sender, headers: list[ExtensionHeader]) -> None:
    packet = build_ipv6(IPv6Header(ROUTER6, NEAR6, flow_label=1), reply6(), headers)
    router.send(packet)
    assert listener.packet()[0] == packet


def test_a_link_local_sender_on_the_other_interface(listener: Listener, hosts: Hosts) -> None:
    sender = Sender(hosts)
    message = with_checksum6(packed("fe80::b:2"), packed("fe80::a:2"), bytes([129, 0, 0, 0, 0x47, 0x11, 0, 1]))
    packet = build_ipv6(IPv6Header(packed("fe80::b:2"), packed("fe80::a:2")), message)
    with hosts.on("router"):
        index = socket.if_nametoindex("b1")
    sender._sockets[6].sendto(packet, ("fe80::a:2", 0, 0, index))
    delivered, interface, *_ = listener.packet()
    assert delivered == packet
    assert interface == socket.if_nametoindex("a1")
    sender.close()


def test_fragments_are_put_together_and_the_largest_is_told(listener: Listener, router: Sender) -> None:
    payload = bytes(each & 0xFF for each in range(2000))
    whole = build_ipv4(IPv4Header(ROUTER4, NEAR4, identification=77), reply4(payload))
    for fragment in fragment_ipv4(whole, 900):
        router.send(fragment)
    delivered, *_, fragment_size = listener.packet()
    assert delivered == whole
    assert fragment_size == len(fragment_ipv4(whole, 900)[0])


@pytest.mark.parametrize("headers", [[], [HOP_BY_HOP], [HOP_BY_HOP, OPTIONS]])
def test_ipv6_fragments_are_put_together_and_the_chain_is_closed(
    listener: Listener, router: Sender, headers: list[ExtensionHeader]
) -> None:
    whole = build_ipv6(IPv6Header(ROUTER6, NEAR6, flow_label=5), reply6(bytes(2000)), headers)
    for fragment in fragment_ipv6(whole, 1280, 99):
        router.send(fragment)
    delivered, *_, fragment_size = listener.packet()
    assert delivered == whole
    assert fragment_size == len(fragment_ipv6(whole, 1280, 99)[0])


def test_the_largest_messages(listener: Listener) -> None:
    link = listener.link
    link.update_idents({IDENT})
    for source, size in (("127.0.0.1", 65507), ("::1", 65527)):
        message = echo_request(source, source, IDENT, bytes(size))
        address = packed(source)
        link.transmit(Outbound(family_of(source), address, address, message, 64, fragment_size=65535))
        delivered = listener.packet()[0]
        assert len(icmp_of(delivered)) == size + 8


@pytest.mark.parametrize("kind", [0, 3, 4, 5, 11, 12, 43])
def test_wanted_types_of_ipv4(listener: Listener, router: Sender, kind: int) -> None:
    quote = build_ipv4(IPv4Header(NEAR4, ROUTER4), b"\x08\0\0\0" + IDENT.to_bytes(2, "big") + b"\0\1")
    message = with_checksum(bytes([kind, 0, 0, 0]) + bytes(4) + quote) if kind not in (0, 43) else reply4(kind=kind)
    listener.link.update_idents({IDENT})
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), message))
    assert icmp_of(listener.packet()[0]) == message


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 100, 127, 129, 161])
def test_wanted_types_of_ipv6(listener: Listener, router: Sender, kind: int) -> None:
    quote = build_ipv6(IPv6Header(NEAR6, ROUTER6), b"\x80\0\0\0" + IDENT.to_bytes(2, "big") + b"\0\1")
    error = with_checksum6(ROUTER6, NEAR6, bytes([kind, 0, 0, 0]) + bytes(4) + quote)
    message = error if kind < 128 else reply6(kind=kind)
    listener.link.update_idents({IDENT})
    router.send(build_ipv6(IPv6Header(ROUTER6, NEAR6), message))
    assert icmp_of(listener.packet()[0]) == message


def has_packets(listener: Listener, count: int) -> bool:
    return len(listener.packets) >= count


def test_only_idents_wanted_are_delivered_until_others_are(listener: Listener, router: Sender) -> None:
    link = listener.link
    for idents, wanted in (({1}, [1]), ({2, 3}, [2, 3]), (range(1, 100), [1, 2, 3, 4]), (None, [1, 2, 3, 4])):
        link.update_idents(idents)
        for ident in (1, 2, 3, 4):
            router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(ident=ident)))
            router.send(build_ipv6(IPv6Header(ROUTER6, NEAR6), reply6(ident=ident)))
        listener.until(partial(has_packets, listener, 2 * len(wanted)))
        found = sorted(int.from_bytes(icmp_of(packet)[4:6], "big") for packet, *_ in listener.packets)
        assert found == sorted([*wanted, *wanted])
        listener.packets.clear()


def test_no_idents_want_nothing(listener: Listener, router: Sender) -> None:
    listener.link.update_idents(set())
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4()))
    listener.link.update_idents({2})
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(ident=2)))
    assert icmp_of(listener.packet()[0])[4:6] == b"\0\2"
    assert listener.packets == []


def test_replies_of_more_pairs_on_request(listener: Listener, router: Sender) -> None:
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(kind=14)))
    listener.link.want_types({AF_INET: {0, 14}, AF_INET6: {129}})
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(kind=14, ident=5)))
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(kind=43)))
    router.send(build_ipv6(IPv6Header(ROUTER6, NEAR6), reply6(kind=161)))
    router.send(build_ipv6(IPv6Header(ROUTER6, NEAR6), reply6(kind=129, ident=6)))
    listener.until(lambda: len(listener.packets) >= 2)
    assert [icmp_of(packet)[0:6] for packet, *_ in listener.packets] == [
        icmp_of(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(kind=14, ident=5)))[:6],
        reply6(kind=129, ident=6)[:6],
    ]


# Errors by routers and by our own host.


def error_for(listener: Listener, destination: str, hop_limit: int = 64) -> tuple[bytes, bytes]:
    """Source address and ICMP message of the error that a request gets."""
    source = "fd50:1::1" if ":" in destination else "10.50.1.1"
    link = listener.link
    link.update_idents({IDENT})
    message = echo_request(source, destination, IDENT)
    link.transmit(Outbound(family_of(destination), packed(source), packed(destination), message, hop_limit))
    packet = listener.packet()[0]
    return (packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]), icmp_of(packet)


@pytest.mark.parametrize(
    ("destination", "hop_limit", "reporter", "kind", "code"),
    [
        ("10.77.0.1", 64, "10.50.1.2", 3, 0),
        ("10.50.3.2", 1, "10.50.1.2", 11, 0),
        ("fd77::1", 64, "fd50:1::2", 1, 0),
        ("fd50:3::2", 1, "fd50:1::2", 3, 0),
    ],
)
def test_a_routers_error(
    listener: Listener, destination: str, hop_limit: int, reporter: str, kind: int, code: int
) -> None:
    source, message = error_for(listener, destination, hop_limit)
    assert source == packed(reporter)
    assert (message[0], message[1]) == (kind, code)
    assert IDENT.to_bytes(2, "big") in message[8:]


@pytest.mark.parametrize(
    ("destination", "own", "kind", "code"), [("10.50.1.9", "10.50.1.1", 3, 1), ("fd50:1::9", "fd50:1::1", 1, 3)]
)
def test_a_silent_neighbour_is_reported_by_our_own_host(
    listener: Listener, destination: str, own: str, kind: int, code: int
) -> None:
    for version in ("ipv4", "ipv6"):
        write_sysctl(f"{version}.neigh.a0.mcast_solicit", "1")
        write_sysctl(f"{version}.neigh.a0.retrans_time_ms", "20")
    source, message = error_for(listener, destination)
    assert source == packed(own)
    assert (message[0], message[1]) == (kind, code)


def test_a_frag_needed_report_is_delivered_but_not_believed_on_behalf_of_the_host(
    listener: Listener, router: Sender
) -> None:
    """A raw socket would make the kernel lower its path MTU for whatever is quoted; that is for the stack to say."""
    quote = build_ipv4(IPv4Header(NEAR4, packed("10.50.3.2"), dont_fragment=True), b"\x08\0\0\0" + bytes(4))
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), with_checksum(b"\3\4\0\0\0\0\3\x20" + quote)))
    assert icmp_of(listener.packet()[0])[:2] == b"\3\4"
    kernel = Rtnetlink()
    answer = kernel.route(AF_INET, packed("10.50.3.2"), source=b"", interface=0, traffic_class=0, mark=0)
    kernel.close()
    assert answer.mtu == 0
    assert listener.link.route(AF_INET, packed("10.50.3.2")).path_mtu == 1500
    listener.link.learn_path_mtu(AF_INET, packed("10.50.3.2"), 800)
    assert listener.link.route(AF_INET, packed("10.50.3.2")).path_mtu == 800


def test_a_packet_too_big_report_is_believed_by_the_kernel_and_shows_in_routes(
    listener: Listener, router: Sender
) -> None:
    far = packed("fd50:3::2")
    quote = build_ipv6(IPv6Header(NEAR6, far), b"\x80\0\0\0" + bytes(4))
    message = with_checksum6(ROUTER6, NEAR6, b"\2\0\0\0" + (1300).to_bytes(4, "big") + quote)
    router.send(build_ipv6(IPv6Header(ROUTER6, NEAR6), message))
    listener.packet()
    assert listener.link.route(AF_INET6, far).path_mtu == 1300


# Groups.


@pytest.mark.parametrize("group", ["239.4.7.11", "ff02::4712"])
def test_membership_is_counted(listener: Listener, group: str) -> None:
    link, family, index = listener.link, family_of(group), socket.if_nametoindex("a0")
    for _ in range(2):
        link.join_group(family, packed(group), index)
    for _ in range(2):
        link.leave_group(family, packed(group), index)
    with pytest.raises(OSError, match="Cannot assign") as failure:
        link.leave_group(family, packed(group), index)
    assert failure.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError, match="No such device"):
        link.join_group(family, packed(group), 9999)


# The driver's side.


def test_a_call_takes_a_bounded_batch(listener: Listener, router: Sender) -> None:
    for _ in range(raw_receive.BATCH + 5):
        router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4()))
    fileno = listener.link._receivers[AF_INET].socket.fileno()
    assert [listener.link.receive(fileno) for _ in range(3)] == [raw_receive.BATCH, 5, 0]


def test_packets_lost_in_our_own_buffer_are_counted(listener: Listener, router: Sender) -> None:
    listener.link._receivers[AF_INET].socket.setsockopt(SOL_SOCKET, linux.SO_RCVBUF, 4096)
    for _ in range(100):
        router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4()))
    while listener.pump():
        pass
    assert len(listener.packets) < 100
    assert listener.link.dropped() == 100 - len(listener.packets)


def test_what_came_before_attaching_is_not_delivered(listener: Listener, router: Sender) -> None:
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4()))
    later = Listener(listener.link)
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4(b"second")))
    assert icmp_of(later.packet()[0]) == reply4(b"second")
    assert listener.packets == []


def test_descriptors_are_quiet_when_nothing_happens_and_news_of_routes_can_be_taken(
    hosts: Hosts, listener: Listener
) -> None:
    while listener.pump():
        pass
    hosts.ip("near", "route add 10.66.4.0/24 via 10.50.1.2")
    assert listener.pump() == {listener.news}
    while listener.pump():
        pass
    assert listener.link.next_event() is None
    listener.link.run(0.0)


def test_an_error_left_pending_on_the_socket_does_not_end_receiving(listener: Listener, router: Sender) -> None:
    class Failing:
        def __init__(self, inner: socket.socket) -> None:
            self.inner, self.failures = inner, 1

        def recvmsg_into(self, *arguments: object) -> object:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EHOSTUNREACH, "pending")
            return self.inner.recvmsg_into(*arguments)  # type: ignore[arg-type]

    receiver = listener.link._receivers[AF_INET]
    router.send(build_ipv4(IPv4Header(ROUTER4, NEAR4), reply4()))
    inner, receiver.socket = receiver.socket, Failing(receiver.socket)  # type: ignore[assignment]
    assert receiver.receive(listener.deliver_untrusted) == 2
    receiver.socket = inner
    assert len(listener.packets) == 1


@pytest.mark.parametrize(("missing", "left"), [(AF_INET6, "10.50.1.2"), (AF_INET, "fd50:1::2")])
def test_a_host_without_one_of_the_families(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, missing: int, left: str
) -> None:
    del hosts
    real = socket.socket

    def without(family: int = -1, *arguments: int, **named: int) -> socket.socket:
        if family == missing:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *arguments, **named)

    monkeypatch.setattr(socket, "socket", without)
    with RawLink.open() as link:
        listener = Listener(link)
        source = "fd50:1::1" if ":" in left else "10.50.1.1"
        assert link.route(family_of(left), packed(left)).source == packed(source)
        message = echo_request(source, left, IDENT)
        link.transmit(Outbound(family_of(left), packed(source), packed(left), message, 64))
        assert icmp_of(listener.packet()[0])[4:6] == IDENT.to_bytes(2, "big")
        other = NEAR4 if missing == AF_INET else NEAR6
        for failing in (
            lambda: link.route(missing, other),
            lambda: link.transmit(Outbound(missing, other, other, message, 64)),
            lambda: link.join_group(missing, other, 0),
        ):
            with pytest.raises(OSError, match="not supported") as failure:
                failing()
            assert failure.value.errno == errno.EAFNOSUPPORT


def test_a_host_without_any_family(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    del hosts
    before = len(os.listdir("/proc/self/fd"))
    real = socket.socket

    def without(family: int = -1, *arguments: int, **named: int) -> socket.socket:
        if family in (AF_INET, AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *arguments, **named)

    monkeypatch.setattr(socket, "socket", without)
    with pytest.raises(OSError, match="not supported"):
        RawLink.open()
    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_twice_leaves_nothing_open(hosts: Hosts) -> None:
    del hosts
    before = len(os.listdir("/proc/self/fd"))
    link = RawLink.open()
    link.close()
    link.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_settings_are_those_of_the_host_the_link_was_opened_on(hosts: Hosts, listener: Listener) -> None:
    assert listener.link.sysctl("ipv4.ip_default_ttl") == 64
    write_sysctl("ipv4.ip_default_ttl", "99")
    with hosts.on("far"):
        assert listener.link.sysctl("ipv4.ip_default_ttl") == 99
    assert listener.link.sysctl("ipv4.ping_group_range") == 0, "the first of several numbers"
    with pytest.raises(KeyError, match="no_such"):
        listener.link.sysctl("ipv4.no_such")


def test_settings_without_a_number_are_missing() -> None:
    settings = KernelSysctls(())
    with contextlib.closing(settings):
        assert settings.get("ipv4.tcp_congestion_control", 7) == 7
        assert settings.get("ipv4.conf", 7) == 7


def test_a_stamp_of_both_widths_of_time() -> None:
    assert raw_receive.stamp_of(struct.pack("@6l", 2, 5, 0, 0, 0, 0)) == 2_000_000_005
