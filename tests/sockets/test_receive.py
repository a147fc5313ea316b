"""Section 5: which socket gets a packet, and what recvmsg() gives."""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING

from bed import packets
from bed.bed import V4, V6, WRONG, Bed, outcome, request
from bed.families import LINK_LOCAL, LINK_LOCAL_FAR, SUBNET_BROADCAST
from pingsock.wire import linux
from sockets.rules import both_families, each, rows
from sockets.test_bind import ident

if TYPE_CHECKING:
    from collections.abc import Callable

    from bed.families import Family
    from bed.subject import Subject

# 5.1 Which socket gets a packet


def sharer(bed: Bed, ip: Family, first: Subject, address: str = "", device: bytes = b"") -> Subject:
    """Another socket with the same ident, bound later."""
    sock = bed.socket(ip)
    if device:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, device)
    sock.bind(ip.name_of(address or ip.any, ident(first)))
    return sock


@both_families
def test_of_several_the_most_recently_bound_gets_everything(bed: Bed, ip: Family) -> None:
    first = bed.bound(ip)
    second = sharer(bed, ip, first)
    third = sharer(bed, ip, first)
    for _ in range(3):
        bed.reply(first)
    bed.settle()
    assert [bed.arrived(third) for _ in range(4)] == [True, True, True, False]
    assert not bed.arrived(second)
    assert not bed.arrived(first)


@both_families
def test_the_order_is_that_of_bind_not_of_creation(bed: Bed, ip: Family) -> None:
    created_first, created_second = bed.socket(ip), bed.socket(ip)
    created_second.bind(ip.name_of(ip.any))
    created_first.bind(ip.name_of(ip.any, ident(created_second)))
    bed.reply(created_first)
    assert bed.arrived(created_first)
    assert bed.nothing_arrived(created_second)


@both_families
def test_a_wildcard_bound_later_beats_an_exact_address_bound_earlier(bed: Bed, ip: Family) -> None:
    exact = bed.bound(ip, ip.host)
    wildcard = sharer(bed, ip, exact)
    bed.reply(exact)
    assert bed.arrived(wildcard)
    assert bed.nothing_arrived(exact)


@both_families
def test_a_socket_of_another_address_is_passed_over(bed: Bed, ip: Family) -> None:
    wildcard = bed.bound(ip)
    other = sharer(bed, ip, wildcard, ip.host_second)
    bed.reply(wildcard)
    assert bed.arrived(wildcard)
    assert bed.nothing_arrived(other)


@both_families
def test_a_socket_of_another_device_is_passed_over(bed: Bed, ip: Family) -> None:
    wildcard = bed.bound(ip)
    other = sharer(bed, ip, wildcard, device=b"ps1")
    bed.reply(wildcard)
    assert bed.arrived(wildcard)
    assert bed.nothing_arrived(other)


@both_families
def test_a_socket_of_the_other_family_is_passed_over(bed: Bed, ip: Family) -> None:
    other_ip = V6 if ip is V4 else V4
    sock = bed.bound(ip)
    other = sharer(bed, other_ip, sock)
    bed.reply(sock)
    assert bed.arrived(sock)
    assert bed.nothing_arrived(other)


@both_families
def test_close_leaves_the_packets_to_the_next_sharer(bed: Bed, ip: Family) -> None:
    first = bed.bound(ip)
    sharer(bed, ip, first)
    bed.close_last()
    bed.reply(first)
    assert bed.arrived(first)


@both_families
@rows("destination,arrives", {"own": ("host", True), "secondary": ("host_second", False)})
def test_a_bound_address_receives_only_what_is_sent_to_it(
    bed: Bed, ip: Family, destination: str, arrives: bool
) -> None:
    sock = bed.bound(ip, ip.host)
    bed.reply(sock, destination=getattr(ip, destination))
    assert bed.arrived(sock) == arrives


@both_families
@each("destination", ["host", "host_second", "elsewhere"])
def test_an_unbound_address_receives_on_all(bed: Bed, ip: Family, destination: str) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, destination=getattr(ip, destination))
    assert bed.arrived(sock)


@both_families
@each("device", ["ps0", "ps1"])
@each("interface", ["ps0", "ps1"])
def test_a_bound_device_receives_only_what_comes_in_by_it(bed: Bed, ip: Family, device: str, interface: str) -> None:
    sock = bed.socket(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, device.encode())
    sock.bind(ip.name_of(ip.any))
    bed.reply(sock, interface=interface)
    assert bed.arrived(sock) == (device == interface)


@both_families
def test_the_device_is_looked_at_when_the_packet_arrives(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, interface="ps0")
    bed.settle()
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_BINDTODEVICE, b"ps1")
    assert bed.arrived(sock)


@both_families
def test_a_packet_for_an_address_of_the_other_interface_is_taken(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip, ip.elsewhere)
    bed.reply(sock, destination=ip.elsewhere, interface="ps0")
    assert bed.arrived(sock)


@both_families
def test_unicast_if_does_not_filter(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    option = linux.IP_UNICAST_IF if ip is V4 else linux.IPV6_UNICAST_IF
    sock.setsockopt(ip.level, option, struct.pack("!I", bed.index("ps1")))
    bed.reply(sock, interface="ps0")
    assert bed.arrived(sock)


@both_families
def test_unsolicited_and_duplicate_replies_are_delivered(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    for _ in range(2):
        bed.reply(sock, b"twice", sequence=9)
    assert [bed.take(sock).data[6:] for _ in range(2)] == [b"\0\x09twice"] * 2


@both_families
def test_another_ident_does_not_arrive(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, ident=WRONG)
    assert bed.nothing_arrived(sock)


@both_families
def test_without_an_ident_nothing_arrives(bed: Bed, ip: Family) -> None:
    sock = bed.socket(ip)
    bed.reply(sock, ident=0)
    assert bed.nothing_arrived(sock)


@both_families
def test_a_reply_to_a_request_arrives_as_it_was_sent(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.sendto(request(ip, b"there and back", sequence=77), ip.name_of(ip.far))
    sent = bed.reply_to(bed.one_sent())
    answer = bed.take(sock)
    assert (answer.data, answer.name, answer.flags) == (sent, ip.name_of(ip.far), 0)


# 5.2 Which packets reach the lookup


@both_families
@each("type_", range(256))
def test_receive_type(bed: Bed, ip: Family, type_: int) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, type_=type_)
    assert bed.arrived(sock) == (type_ in {ip.reply, ip.extended_reply})


@both_families
@each("extended", [False, True])
def test_every_code_is_received(bed: Bed, ip: Family, extended: bool) -> None:
    sock = bed.bound(ip)
    for code in range(256):
        bed.reply(sock, b"", code=code, type_=ip.extended_reply if extended else ip.reply)
    assert [bed.take(sock).data[1] for _ in range(256)] == list(range(256))


@both_families
@each("flip", [1, 0x100, 0xFFFF])
def test_a_wrong_checksum_is_dropped(bed: Bed, ip: Family, flip: int) -> None:
    sock = bed.bound(ip)
    right = packets.sum_message(ip, ip.far, ip.host, packets.echo(ip.reply, ident(sock), payload=b"reply"))
    bed.reply(sock, message_checksum=int.from_bytes(right[2:4], "big") ^ flip)
    assert bed.nothing_arrived(sock)


def inject_message(bed: Bed, ip: Family, message: bytes, **header: object) -> None:
    bed.inject(packets.packet(ip, ip.far, ip.host, message, **header))  # type: ignore[arg-type]


@both_families
@each("size", [4, 6, 7])
def test_a_message_below_8_bytes_is_dropped(bed: Bed, ip: Family, size: int) -> None:
    sock = bed.bound(ip)
    inject_message(bed, ip, packets.echo(ip.reply, ident(sock))[:size])
    assert bed.nothing_arrived(sock)


@both_families
def test_a_message_of_8_bytes_is_received(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, b"")
    assert len(bed.take(sock).data) == 8


def test_a_wrong_header_checksum_is_dropped(bed: Bed) -> None:
    sock = bed.bound(V4)
    bed.reply(sock, header_checksum=0x1234)
    assert bed.nothing_arrived(sock)


@each("address", [SUBNET_BROADCAST, "255.255.255.255", "224.0.0.1", V4.group])
@each("extended", [False, True])
def test_v4_replies_to_many_are_dropped(bed: Bed, address: str, extended: bool) -> None:
    sock = bed.bound(V4)
    sock.setsockopt(linux.SOL_IP, linux.IP_ADD_MEMBERSHIP, V4.pack(V4.group) + V4.pack(V4.host))
    bed.reply(sock, destination=address, type_=V4.extended_reply if extended else V4.reply)
    assert bed.nothing_arrived(sock)


def join6(bed: Bed, sock: Subject, group: str) -> None:
    membership = struct.pack(linux.IPV6_MREQ_LAYOUT, V6.pack(group), bed.index("ps0"))
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_ADD_MEMBERSHIP, membership)


@each("joined", [False, True])
def test_v6_replies_to_a_group_are_delivered_to_members(bed: Bed, joined: bool) -> None:
    sock = bed.bound(V6)
    if joined:
        join6(bed, sock, V6.group)
    bed.reply(sock, destination=V6.group)
    assert bed.arrived(sock) == joined


def test_v6_replies_to_all_nodes_are_delivered(bed: Bed) -> None:
    sock = bed.bound(V6)
    bed.reply(sock, destination="ff02::1")
    assert bed.arrived(sock)


@both_families
def test_a_reply_for_somebody_else_is_dropped(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, destination=ip.distant)
    assert bed.nothing_arrived(sock)


SOURCES = {
    "a loopback address": ("127.0.0.5", False),
    "0.0.0.0": ("0.0.0.0", False),
    "limited broadcast": ("255.255.255.255", False),
    "a group": ("224.0.0.5", False),
    "our own": (V4.host, False),
    "our own on another interface": (V4.elsewhere, False),
    "class E": ("240.1.2.3", True),
    "subnet broadcast": (SUBNET_BROADCAST, True),
    "unrouted": (V4.unrouted, True),
    "a neighbour of another interface": (V4.far_elsewhere, True),
}


@rows("source,arrives", SOURCES)
def test_v4_source(bed: Bed, source: str, arrives: bool) -> None:
    sock = bed.bound(V4)
    bed.reply(sock, source=source)
    assert bed.arrived(sock) == arrives


SOURCES_V6 = {
    "a neighbour": (V6.far, True),
    "somebody distant": (V6.distant, True),
    "a group": (V6.group, False),
    "loopback": ("::1", False),
}


@rows("source,arrives", SOURCES_V6)
def test_v6_source(bed: Bed, source: str, arrives: bool) -> None:
    sock = bed.bound(V6)
    bed.reply(sock, source=source)
    assert bed.arrived(sock) == arrives


@both_families
@rows("turned", {"in order": False, "last first": True})
def test_fragments_are_put_together(bed: Bed, ip: Family, turned: bool) -> None:
    sock = bed.bound(ip)
    payload = bytes(range(256)) * 12
    pieces = reply_fragments(ip, sock, payload, 1024)
    for piece in reversed(pieces) if turned else pieces:
        bed.inject(piece)
    assert bed.take(sock).data[8:] == payload


def reply_fragments(ip: Family, sock: Subject, payload: bytes, size: int, fragment_ident: int = 7) -> list[bytes]:
    whole = packets.packet(ip, ip.far, ip.host, packets.echo(ip.reply, ident(sock), payload=payload))
    return packets.fragments(whole, size, fragment_ident)


@both_families
def test_an_incomplete_packet_is_not_delivered_before_its_last_fragment(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    *pieces, last = reply_fragments(ip, sock, bytes(2000), 1024, fragment_ident=8)
    for piece in pieces:
        bed.inject(piece)
    assert bed.nothing_arrived(sock)
    # Left incomplete, the kernel would send a time exceeded a minute later, into another test.
    bed.inject(last)
    assert bed.take(sock).data[8:] == bytes(2000)


@rows("ip,option", {"v4": (V4, linux.IP_MINTTL), "v6": (V6, linux.IPV6_MINHOPCOUNT)})
def test_the_smallest_hop_count_is_not_applied(bed: Bed, ip: Family, option: int) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(ip.level, option, 255)
    inject_message(bed, ip, packets.echo(ip.reply, ident(sock)), **{"ttl" if ip is V4 else "hop_limit": 3})
    assert bed.arrived(sock)


# 5.3 recvmsg()


@both_families
def test_data_is_the_whole_icmp_message_as_received(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sent = bed.reply(sock, b"payload", sequence=513)
    assert bed.take(sock).data == sent


def test_ip_options_are_not_part_of_the_data(bed: Bed) -> None:
    sock = bed.bound(V4)
    sent = bed.reply(sock, options=b"\x01" * 8)
    assert bed.take(sock).data == sent


def test_extension_headers_are_not_part_of_the_data(bed: Bed) -> None:
    sock = bed.bound(V6)
    sent = bed.reply(sock, extensions=((60, bytes([0, 0, 1, 4, 0, 0, 0, 0])),))
    assert bed.take(sock).data == sent


@both_families
def test_padding_behind_the_ip_length_is_not_part_of_the_data(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    whole = packets.packet(ip, ip.far, ip.host, packets.echo(ip.reply, ident(sock), payload=b"x"))
    bed.inject(whole + b"padding")
    assert bed.take(sock).data[8:] == b"x"


@both_families
def test_the_name_is_the_source_with_port_0(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock, source=ip.distant)
    assert bed.take(sock).name == ip.name_of(ip.distant, 0)


def test_a_link_local_name_has_its_scope(bed: Bed) -> None:
    sock = bed.bound(V6)
    bed.reply(sock, source=LINK_LOCAL_FAR, destination=LINK_LOCAL["ps1"], interface="ps1")
    assert bed.take(sock).name == (LINK_LOCAL_FAR, 0, 0, bed.index("ps1"))


@rows("asked,expected", {"asked for": (1, 0x0B812345), "not asked for": (0, 0)})
def test_the_flow_information_of_a_name(bed: Bed, asked: int, expected: int) -> None:
    sock = bed.bound(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_FLOWINFO_SEND, asked)
    bed.reply(sock, traffic_class=0xB8, flow_label=0x12345)
    assert bed.take(sock).name[2] == expected


@both_families
def test_one_datagram_a_call_in_order_of_arrival(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    for number in range(10):
        bed.reply(sock, bytes([number]))
    assert [bed.take(sock).data[8] for _ in range(10)] == list(range(10))
    assert bed.nothing_arrived(sock)


@both_families
@each("size", [1, 8, 12])
def test_a_small_buffer_cuts_the_datagram_and_says_so(bed: Bed, ip: Family, size: int) -> None:
    sock = bed.bound(ip)
    sent = bed.reply(sock)
    taken = bed.take(sock, size)
    assert (taken.data, taken.flags) == (sent[:size], linux.MSG_TRUNC)
    assert bed.nothing_arrived(sock)


@both_families
def test_a_buffer_of_no_size_consumes_the_datagram(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    assert bed.take(sock, 0).data == b""
    assert bed.nothing_arrived(sock)


@both_families
def test_asking_for_truncation_does_not_tell_the_full_length(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    bed.settle()
    assert sock.recv_into(bytearray(10), 10, linux.MSG_TRUNC | linux.MSG_DONTWAIT) == 10


@both_families
def test_peek_leaves_the_datagram(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sent = bed.reply(sock)
    assert bed.take(sock, flags=linux.MSG_PEEK).data == sent
    assert bed.take(sock, 9, flags=linux.MSG_PEEK).flags == linux.MSG_TRUNC
    assert bed.take(sock).data == sent


@both_families
@each("more", [0, linux.MSG_ERRQUEUE])
def test_receiving_out_of_band_is_not_supported(bed: Bed, ip: Family, more: int) -> None:
    sock = bed.bound(ip)
    bed.reply(sock)
    bed.settle()
    assert outcome(sock.recv, 100, linux.MSG_OOB | more) == "EOPNOTSUPP"


IGNORED_FLAGS = {
    "MSG_WAITALL": (linux.MSG_WAITALL, 0),
    "MSG_NOSIGNAL": (linux.MSG_NOSIGNAL, 0),
    "MSG_DONTROUTE": (linux.MSG_DONTROUTE, 0),
    "MSG_PROBE": (linux.MSG_PROBE, 0),
    "MSG_CONFIRM": (linux.MSG_CONFIRM, 0),
    "MSG_TRUNC": (linux.MSG_TRUNC, 0),
    "MSG_CMSG_CLOEXEC": (linux.MSG_CMSG_CLOEXEC, linux.MSG_CMSG_CLOEXEC),
}


@both_families
@rows("flag,shown", IGNORED_FLAGS)
def test_receive_ignores_flag(bed: Bed, ip: Family, flag: int, shown: int) -> None:
    sock = bed.bound(ip)
    sent = bed.reply(sock)
    taken = bed.take(sock, flags=flag)
    assert (taken.data, taken.flags) == (sent, shown)


@both_families
@each("state", ["fresh", "bound", "connected"])
def test_receiving_from_an_empty_socket_without_waiting(bed: Bed, ip: Family, state: str) -> None:
    sock = bed.in_state(ip, state)
    assert outcome(sock.recv, 100, linux.MSG_DONTWAIT) == "EAGAIN"


@both_families
def test_receiving_on_a_nonblocking_socket(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setblocking(False)
    assert outcome(sock.recv, 100) == "EAGAIN"


@both_families
def test_receiving_ends_after_the_receive_timeout(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVTIMEO, struct.pack(linux.TIMEVAL_LAYOUT, 0, 20_000))
    assert outcome(sock.recv, 100) == "EAGAIN"


@both_families
def test_receiving_waits_for_a_datagram(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(sock.recv(100)))
    reader.start()
    sent = bed.reply(sock)
    reader.join(3)
    assert received == [sent]


@both_families
def test_setting_a_timeout_of_the_object_works(bed: Bed, ip: Family) -> None:
    sock = bed.bound(ip)
    sock.settimeout(0.02)
    try:
        sock.recv(100)
    except TimeoutError:
        return
    raise AssertionError("recv did not time out")


READS: dict[str, Callable[[Subject], bytes]] = {
    "recv": lambda sock: sock.recv(100),
    "recvfrom": lambda sock: sock.recvfrom(100)[0],
    "recvmsg": lambda sock: sock.recvmsg(100)[0],
}


@both_families
@rows("read", READS)
def test_datagrams_can_be_read_with(bed: Bed, ip: Family, read: Callable[[Subject], bytes]) -> None:
    sock = bed.bound(ip)
    sent = bed.reply(sock)
    bed.settle()
    assert read(sock) == sent


@both_families
def test_read_and_write_work_on_the_descriptor(bed: Bed, ip: Family) -> None:
    sock = bed.connected(ip)
    assert os.write(sock.fileno(), request(ip, b"written")) == 15
    seen = bed.one_sent()
    assert seen.payload == b"written"
    sent = bed.reply_to(seen)
    bed.settle()
    assert os.read(sock.fileno(), 100) == sent
