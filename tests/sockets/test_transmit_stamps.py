"""Section 6: transmit time stamps."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from bed import packets
from bed.bed import V4, V6, Bed, Received, request
from pingsock.wire import linux
from sockets.rules import both_families, each, rows

if TYPE_CHECKING:
    from bed.families import Family
    from bed.subject import Subject

SOFTWARE, REPORT = linux.SOF_TIMESTAMPING_TX_SOFTWARE, linux.SOF_TIMESTAMPING_SOFTWARE
SCHED = linux.SOF_TIMESTAMPING_TX_SCHED
OPT_ID, OPT_CMSG, OPT_TSONLY = (
    linux.SOF_TIMESTAMPING_OPT_ID,
    linux.SOF_TIMESTAMPING_OPT_CMSG,
    linux.SOF_TIMESTAMPING_OPT_TSONLY,
)
ENOMSG = 42


def stamping(bed: Bed, ip: Family, flags: int) -> Subject:
    sock = bed.bound(ip)
    sock.setsockopt(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, flags)
    return sock


def stamp(entry: Received) -> int:
    """The time in an entry, nanoseconds."""
    content = entry.item(linux.SOL_SOCKET, linux.SO_TIMESTAMPING)
    assert content is not None
    seconds, nanoseconds, *others = struct.unpack(linux.SCM_TIMESTAMPING_LAYOUT, content)
    assert others == [0, 0, 0, 0]
    return int(seconds * 10**9 + nanoseconds)


@both_families
def test_each_send_puts_an_entry_with_its_time_in_the_error_queue(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    before = time.time_ns()
    for _ in range(2):
        sock.sendto(request(ip), ip.name_of(ip.far))
    first, second = bed.take_entry(sock), bed.take_entry(sock)
    assert before - 1000 <= stamp(first) <= stamp(second) <= time.time_ns()
    assert bed.queue_empty(sock)


@both_families
def test_an_entry_has_stamp_and_extended_error_and_no_name(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    entry = bed.take_entry(sock)
    assert entry.kinds == [(linux.SOL_SOCKET, linux.SO_TIMESTAMPING), (ip.level, ip.recverr)]
    assert not entry.name
    assert entry.flags == linux.MSG_ERRQUEUE


@both_families
def test_the_extended_error_of_a_stamp(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    error = bed.take_error(sock)
    assert (error.errno, error.origin, error.type, error.code) == (ENOMSG, linux.SO_EE_ORIGIN_TIMESTAMPING, 0, 0)
    assert (error.info, error.ee_data) == (linux.SCM_TSTAMP_SND, 0)


@rows("ip,offender", {"v4": (V4, (0, "", 0, 0)), "v6": (V6, (10, V6.host, 0, 0))})
def test_the_offender_of_a_stamp(bed: Bed, ip: Family, offender: tuple[int, str, int, int]) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.take_error(sock).offender == offender


def test_with_opt_cmsg_the_v4_offender_is_our_source(bed: Bed) -> None:
    sock = stamping(bed, V4, SOFTWARE | REPORT | OPT_CMSG)
    sock.sendto(request(V4), (V4.far, 0))
    assert bed.take_error(sock).offender == (2, V4.host, 0, 0)


@both_families
def test_a_stamp_is_no_pending_error(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.pending_error(sock) == 0
    assert sock.sendto(request(ip), ip.name_of(ip.far)) == 8


@both_families
def test_the_data_of_a_stamp_is_the_whole_ip_packet(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT)
    sock.sendto(request(ip, b"stamped"), ip.name_of(ip.far))
    seen = bed.one_sent()
    data = packets.parse(bed.take_entry(sock).data)
    assert (data.source, data.destination, data.ident) == (seen.source, seen.destination, seen.ident)
    assert data.payload == b"stamped"


@both_families
def test_with_opt_tsonly_the_data_is_empty(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT | OPT_TSONLY)
    sock.sendto(request(ip, b"stamped"), ip.name_of(ip.far))
    assert bed.take_entry(sock).data == b""


@both_families
def test_with_opt_id_the_entries_count_from_0(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | REPORT | OPT_ID)
    for _ in range(3):
        sock.sendto(request(ip), ip.name_of(ip.far))
    assert [bed.take_error(sock).ee_data for _ in range(3)] == [0, 1, 2]


@both_families
def test_tx_sched_adds_an_earlier_entry(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, SOFTWARE | SCHED | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert [bed.take_error(sock).info for _ in range(2)] == [linux.SCM_TSTAMP_SCHED, linux.SCM_TSTAMP_SND]


@both_families
def test_ancillary_data_asks_for_the_stamp_of_one_packet(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, REPORT)
    ask = [(linux.SOL_SOCKET, linux.SO_TIMESTAMPING, struct.pack("=I", SOFTWARE))]
    sock.sendmsg([request(ip)], ask, 0, ip.name_of(ip.far))
    sock.sendto(request(ip), ip.name_of(ip.far))
    stamp(bed.take_entry(sock))
    assert bed.queue_empty(sock)


@both_families
@each("flags", [SOFTWARE | REPORT])
def test_a_send_that_fails_leaves_no_stamp(bed: Bed, ip: Family, flags: int) -> None:
    sock = stamping(bed, ip, flags)
    sock.setsockopt(ip.level, ip.mtu_discover, linux.IP_PMTUDISC_DO)
    try:
        sock.sendto(request(ip, bytes(1600)), ip.name_of(ip.far))
    except OSError:
        pass
    assert bed.queue_empty(sock)


@both_families
def test_receive_stamps_alone_put_nothing_in_the_error_queue(bed: Bed, ip: Family) -> None:
    sock = stamping(bed, ip, linux.SOF_TIMESTAMPING_RX_SOFTWARE | REPORT)
    sock.sendto(request(ip), ip.name_of(ip.far))
    assert bed.queue_empty(sock)
