"""Section 4.4: Don't Fragment and path MTU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bed.bed import V4, V6, WRONG, Bed, outcome, request
from bed.families import family_of
from pingsock.wire import linux
from sockets.rules import both_families, each, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.families import Family
    from bed.packets import Seen
    from bed.subject import Subject


def _destinations() -> Iterator[tuple[str, str]]:
    # Several for each kind of socket: more than an IPv4 /24 has.
    for number in range(1, 1 << 16):
        yield f"198.18.{number >> 8}.{number & 0xFF}", f"2001:db8:18::{number:x}"


DESTINATIONS = _destinations()


def fresh(ip: Family) -> str:
    """A destination behind the router whose path MTU nobody has learned yet."""
    v4, v6 = next(DESTINATIONS)
    return v4 if ip is V4 else v6


def report_mtu(bed: Bed, sock: Subject, destination: str, mtu: int, ident: int | None = None) -> None:
    ip = family_of(sock.family)
    quote = bed.quote(sock, destination=destination, ident=ident)
    bed.error(sock, *((3, 4) if ip is V4 else (2, 0)), rest=mtu, quote=quote)


def known_mtu(bed: Bed, ip: Family, destination: str) -> int:
    return int(bed.connected(ip, destination).getsockopt(ip.level, ip.mtu))


def in_mode(bed: Bed, ip: Family, mode: int) -> Subject:
    sock = bed.bound(ip)
    sock.setsockopt(ip.level, ip.mtu_discover, mode)
    return sock


def send_sized(bed: Bed, sock: Subject, destination: str, packet_size: int) -> str:
    """What became of a packet: the errno, or how it was sent."""
    ip = family_of(sock.family)
    data = request(ip, bytes(packet_size - ip.header - 8))
    result = outcome(sock.sendto, data, ip.name_of(destination))
    if result != "OK":
        return result
    return how_sent(bed.sent(1))


def how_sent(packets: list[Seen]) -> str:
    shape = "whole" if len(packets) == 1 else "fragments"
    return shape + (" DF" if any(seen.df for seen in packets) else "")


DONT, WANT, DO, PROBE, INTERFACE, OMIT = range(6)
MODES_V4 = {
    "DONT": (DONT, "whole", "fragments", "fragments"),
    "WANT": (WANT, "whole DF", "fragments", "fragments"),
    "DO": (DO, "whole DF", "EMSGSIZE", "EMSGSIZE"),
    "PROBE": (PROBE, "whole DF", "EMSGSIZE", "whole DF"),
    "INTERFACE": (INTERFACE, "whole", "EMSGSIZE", "whole"),
    "OMIT": (OMIT, "whole", "fragments", "whole"),
}
MODES_V6 = {
    "DONT": (DONT, "whole", "fragments"),
    "WANT": (WANT, "whole", "fragments"),
    "DO": (DO, "whole", "EMSGSIZE"),
    "PROBE": (PROBE, "whole", "EMSGSIZE"),
    "INTERFACE": (INTERFACE, "whole", "EMSGSIZE"),
    "OMIT": (OMIT, "whole", "fragments"),
}
V4_FITS = {name: (mode, fits) for name, (mode, fits, _, _) in MODES_V4.items()}
V4_LARGER = {name: (mode, larger) for name, (mode, _, larger, _) in MODES_V4.items()}
V4_LEARNED = {name: (mode, learned) for name, (mode, _, _, learned) in MODES_V4.items()}
V6_FITS = {name: (mode, fits) for name, (mode, fits, _) in MODES_V6.items()}
V6_LARGER = {name: (mode, larger) for name, (mode, _, larger) in MODES_V6.items()}


@rows("mode,result", V4_FITS)
def test_v4_packet_that_fits(bed: Bed, mode: int, result: str) -> None:
    assert send_sized(bed, in_mode(bed, V4, mode), V4.far, 1500) == result


@rows("mode,result", V4_LARGER)
def test_v4_packet_larger_than_the_mtu_of_the_device(bed: Bed, mode: int, result: str) -> None:
    assert send_sized(bed, in_mode(bed, V4, mode), V4.far, 1501) == result


@rows("mode,result", V4_LEARNED)
def test_v4_packet_larger_than_the_learned_path_mtu(bed: Bed, mode: int, result: str) -> None:
    destination = fresh(V4)
    sock = in_mode(bed, V4, mode)
    report_mtu(bed, bed.bound(V4), destination, 1000)
    bed.settle()
    assert send_sized(bed, sock, destination, 1400) == result


@rows("mode,result", V6_FITS)
def test_v6_packet_that_fits(bed: Bed, mode: int, result: str) -> None:
    assert send_sized(bed, in_mode(bed, V6, mode), V6.far, 1500) == result


@rows("mode,result", V6_LARGER)
def test_v6_packet_larger_than_the_mtu_of_the_device(bed: Bed, mode: int, result: str) -> None:
    assert send_sized(bed, in_mode(bed, V6, mode), V6.far, 1501) == result


def test_v6_dontfrag_refuses_what_would_be_fragmented(bed: Bed) -> None:
    sock = bed.bound(V6)
    sock.setsockopt(linux.SOL_IPV6, linux.IPV6_DONTFRAG, 1)
    assert send_sized(bed, sock, V6.far, 1501) == "EMSGSIZE"
    assert send_sized(bed, sock, V6.far, 1500) == "whole"


@both_families
@each("mode", [-1, 6, 99])
def test_other_modes_are_invalid(bed: Bed, ip: Family, mode: int) -> None:
    assert outcome(bed.socket(ip).setsockopt, ip.level, ip.mtu_discover, mode) == "EINVAL"


@both_families
@each("mode", range(6))
def test_mode_is_read_back(bed: Bed, ip: Family, mode: int) -> None:
    assert in_mode(bed, ip, mode).getsockopt(ip.level, ip.mtu_discover) == mode


@both_families
def test_mtu_needs_a_connected_socket(bed: Bed, ip: Family) -> None:
    assert outcome(bed.bound(ip).getsockopt, ip.level, ip.mtu) == "ENOTCONN"


@both_families
def test_mtu_is_that_of_the_device_at_first(bed: Bed, ip: Family) -> None:
    assert known_mtu(bed, ip, ip.distant) == 1500


@both_families
@each("mtu", [1280, 1400, 1499])
def test_a_report_lowers_the_path_mtu_of_the_quoted_destination(bed: Bed, ip: Family, mtu: int) -> None:
    destination = fresh(ip)
    report_mtu(bed, bed.bound(ip), destination, mtu)
    bed.settle()
    assert known_mtu(bed, ip, destination) == mtu
    assert known_mtu(bed, ip, ip.distant) == 1500


@rows("ip,learned", {"v4": (V4, 1500), "v6": (V6, 1400)})
def test_a_report_about_an_ident_nobody_owns_counts_only_on_v6(bed: Bed, ip: Family, learned: int) -> None:
    destination = fresh(ip)
    report_mtu(bed, bed.bound(ip), destination, 1400, ident=WRONG)
    bed.settle()
    assert known_mtu(bed, ip, destination) == learned


@each("mtu", [0, 1, 68, 551])
def test_a_v4_report_below_552_counts_as_552(bed: Bed, mtu: int) -> None:
    destination = fresh(V4)
    report_mtu(bed, bed.bound(V4), destination, mtu)
    bed.settle()
    assert known_mtu(bed, V4, destination) == 552


def test_below_552_want_leaves_df_out(bed: Bed) -> None:
    destination = fresh(V4)
    report_mtu(bed, bed.bound(V4), destination, 68)
    bed.settle()
    assert send_sized(bed, in_mode(bed, V4, WANT), destination, 500) == "whole"


@each("mtu", [0, 68, 1279])
def test_a_v6_report_below_1280_is_ignored(bed: Bed, mtu: int) -> None:
    destination = fresh(V6)
    report_mtu(bed, bed.bound(V6), destination, mtu)
    bed.settle()
    assert known_mtu(bed, V6, destination) == 1500


@both_families
@each("mtu", [1500, 1501, 9000, 65535])
def test_a_report_not_below_the_current_path_mtu_changes_nothing(bed: Bed, ip: Family, mtu: int) -> None:
    destination = fresh(ip)
    report_mtu(bed, bed.bound(ip), destination, 1300)
    report_mtu(bed, bed.bound(ip), destination, mtu)
    bed.settle()
    assert known_mtu(bed, ip, destination) == 1300


def test_the_path_mtu_is_learned_in_mode_dont_too(bed: Bed) -> None:
    destination = fresh(V4)
    report_mtu(bed, in_mode(bed, V4, DONT), destination, 1000)
    bed.settle()
    assert known_mtu(bed, V4, destination) == 1000


def test_a_learned_path_mtu_shapes_the_v6_fragments(bed: Bed) -> None:
    destination = fresh(V6)
    sock = bed.bound(V6)
    report_mtu(bed, sock, destination, 1300)
    bed.settle()
    sock.sendto(request(V6, bytes(1400)), V6.name_of(destination))
    assert [len(seen.raw) <= 1300 for seen in bed.sent(2)] == [True, True]


def test_a_learned_path_mtu_shapes_the_v4_fragments(bed: Bed) -> None:
    destination = fresh(V4)
    sock = bed.bound(V4)
    report_mtu(bed, sock, destination, 1000)
    bed.settle()
    sock.sendto(request(V4, bytes(1400)), V4.name_of(destination))
    assert [len(seen.raw) <= 1000 for seen in bed.sent(2)] == [True, True]


@both_families
@each("mode", [DO])
def test_emsgsize_of_a_learned_path_mtu_names_it(bed: Bed, ip: Family, mode: int) -> None:
    destination = fresh(ip)
    sock = in_mode(bed, ip, mode)
    report_mtu(bed, bed.bound(ip), destination, 1300)
    bed.set_recverr(sock)
    bed.settle()
    assert send_sized(bed, sock, destination, 1400) == "EMSGSIZE"
    assert bed.take_error(sock).info == 1300
