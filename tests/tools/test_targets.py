"""Specifications of targets against what `ipaddress` makes of them, orders, exclusions and positions."""

from __future__ import annotations

import ipaddress
import os
import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingsock.probe.batch_targets import TargetBlock
from pingsock.probe.records import Unresolved
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.errors import InvalidArgument
from pingsock.tools.destination import Destination
from pingsock.tools.target_order import Permutation
from pingsock.tools.target_sources import WordFile
from pingsock.tools.target_specs import InvalidTarget, Name, Span, parse_spec
from pingsock.tools.targets import TargetList

prefixes4 = st.builds(
    lambda number, length: f"{ipaddress.IPv4Address(number)}/{length}",
    st.integers(0, 2**32 - 1),
    st.integers(20, 32),
)
prefixes6 = st.builds(
    lambda number, length: f"{ipaddress.IPv6Address(number)}/{length}",
    st.integers(0, 2**128 - 1),
    st.integers(117, 128),
)
addresses = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number))) | st.integers(
    0, 2**128 - 1
).map(lambda number: str(ipaddress.IPv6Address(number)))


def small_range(number: int, length: int) -> str:
    first = ipaddress.IPv4Address(min(number, 2**32 - 1 - length))
    return f"{first}-{first + length}"


ranges = st.builds(small_range, st.integers(0, 2**32 - 1), st.integers(0, 600))
nearby = st.integers(0, 1000).map(lambda number: f"10.0.{number >> 8}.{number & 255}")
nearby_prefixes = st.builds(
    lambda number, length: f"10.0.{number >> 8}.{number & 255}/{length}", st.integers(0, 1000), st.integers(23, 32)
)
specs = st.lists(prefixes4 | prefixes6 | addresses | ranges | nearby | nearby_prefixes, max_size=6)
exclusions = st.lists(nearby | nearby_prefixes | ranges, max_size=6)


def meant_by(spec: str) -> list[str]:
    """The oracle."""
    if "-" in spec:
        first, last = map(ipaddress.IPv4Address, spec.split("-"))
        return [str(ipaddress.IPv4Address(number)) for number in range(int(first), int(last) + 1)]
    network = ipaddress.ip_network(spec, strict=False)
    if "/" not in spec:
        return [spec]
    if network.version == 6 and network.prefixlen >= 127:
        return [str(address) for address in network]
    return [str(address) for address in network.hosts()]


def all_of(spec: str) -> set[str]:
    if "-" in spec:
        return set(meant_by(spec))
    return {str(address) for address in ipaddress.ip_network(spec, strict=False)}


def texts(targets: TargetList, start: int = 0) -> list[str]:
    found = [target.address[0] for target in targets.targets(start) if isinstance(target, Target)]
    # The C library writes ::1:0 as ::0.1.0.0.
    return [str(ipaddress.ip_address(address)) for address in found]


@given(specs)
def test_a_list_of_specifications_is_what_ipaddress_calls_the_hosts(chosen: list[str]) -> None:
    with TargetList.of(*chosen) as targets:
        expected = [address for spec in chosen for address in meant_by(spec)]
        assert texts(targets) == expected
        assert targets.count == len(expected)


@given(specs, exclusions)
def test_exclusions_leave_out_their_addresses_and_no_other(chosen: list[str], left_out: list[str]) -> None:
    with TargetList.of(*chosen, exclude=left_out) as targets:
        unwanted = set().union(*map(all_of, left_out)) if left_out else set()
        expected = [address for spec in chosen for address in meant_by(spec) if address not in unwanted]
        assert texts(targets) == expected
        assert targets.count == len(expected)


@given(specs, exclusions, st.integers(0, 2**63 - 1))
def test_a_random_order_has_the_same_targets_as_often(chosen: list[str], left_out: list[str], seed: int) -> None:
    with TargetList.of(*chosen, exclude=left_out, seed=seed) as shuffled:
        assert Counter(texts(shuffled)) == Counter(texts(TargetList.of(*chosen, exclude=left_out)))


@given(specs, exclusions, st.none() | st.integers(0, 99), st.data())
def test_a_stream_begun_at_a_position_is_the_rest_of_the_stream(
    chosen: list[str], left_out: list[str], seed: int | None, data: st.DataObject
) -> None:
    with TargetList.of(*chosen, exclude=left_out, seed=seed) as targets:
        start = data.draw(st.integers(0, targets.count + 1))
        assert texts(targets, start) == texts(targets)[start:]


@given(st.integers(0, 3000), st.integers(0, 2**63 - 1))
def test_a_permutation_has_each_number_once(count: int, seed: int) -> None:
    permutation = Permutation(count, seed)
    assert sorted(permutation[position] for position in range(count)) == list(range(count))
    with pytest.raises(IndexError):
        permutation[count]


@given(st.integers(1, 2**40), st.integers(0, 2**63 - 1))
def test_a_permutation_of_any_size_stays_inside(count: int, seed: int) -> None:
    permutation = Permutation(count, seed)
    drawn = [permutation[position] for position in range(min(count, 50))]
    assert all(0 <= number < count for number in drawn)
    assert len(set(drawn)) == len(drawn)


def test_random_orders_differ_by_their_seed_and_keep_no_neighbours_together() -> None:
    first, second = Permutation(65536, 1), Permutation(65536, 2)
    assert [first[n] for n in range(100)] != [second[n] for n in range(100)]
    assert sum(abs(first[n] - first[n + 1]) < 256 for n in range(10_000)) < 200


@pytest.mark.parametrize(
    ("spec", "first", "count"),
    [
        ("10.0.0.1", "10.0.0.1", 1),
        ("10.0.0.0/30", "10.0.0.1", 2),
        ("10.0.0.3/31", "10.0.0.2", 2),
        ("10.0.0.3/32", "10.0.0.3", 1),
        ("10.0.0.77/24", "10.0.0.1", 254),
        ("0.0.0.0/0", "0.0.0.1", 2**32 - 2),
        ("10.0.0.1-9", "10.0.0.1", 9),
        ("10.0.0.1-10.0.1.0", "10.0.0.1", 256),
        ("10.0.0.9-10.0.0.9", "10.0.0.9", 1),
        ("2001:db8::/126", "2001:db8::1", 3),
        ("2001:db8::/127", "2001:db8::", 2),
        ("2001:DB8::1-f", "2001:db8::1", 15),
        ("2001:db8::1-2001:db8::1:0", "2001:db8::1", 65536),
        ("2001:db8::/96", "2001:db8::1", 2**32 - 1),
    ],
)
def test_what_a_specification_means(spec: str, first: str, count: int) -> None:
    span = parse_spec(spec)
    assert isinstance(span, Span)
    assert (str(ipaddress.ip_address(first)), span.count) == (first, count)
    assert span.first == int(ipaddress.ip_address(first))


@pytest.mark.parametrize("name", ["web-1.example.com", "localhost", "10-0-0-1.example", "münchen.de", "a_b.c", "x."])
def test_what_is_no_address_is_a_name(name: str) -> None:
    assert parse_spec(name) == Name(name)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("10.0.0.256", "four decimal numbers"),
        ("10.0.0.01", "without leading zeros"),
        ("10.1", "four decimal numbers"),
        ("1", "four decimal numbers"),
        ("10.0.0.0/33", "0 to 32 bits"),
        ("10.0.0.0/-1", "0 to 32 bits"),
        ("10.0.0.0/", "0 to 32 bits"),
        ("10.0.0.0/255.255.255.0", "0 to 32 bits"),
        ("10.0.0.0/٣", "0 to 32 bits"),
        ("example.com/24", "ADDRESS/LENGTH"),
        ("ftp://example.com", "ADDRESS/LENGTH"),
        ("fe80::%lo/64", "without a scope"),
        ("10.0.0.9-10.0.0.1", "not before its first"),
        ("10.0.0.9-1", "not before its first"),
        ("10.0.0.1-", "two addresses of one family"),
        ("10.0.0.1-256", "two addresses of one family"),
        ("10.0.0.1-2001:db8::1", "two addresses of one family"),
        ("fe80::1%lo-9", "on an interface of this host"),
        ("2001:db8::/64", "can only be listed"),
        ("::-ffff:ffff::", "can only be listed"),
        ("2001:db8::g", "an IPv6 address"),
        ("fe80::1%nothere", "on an interface of this host"),
        ("fe80::1%", "on an interface of this host"),
        ("", "an address, a range, a prefix or a name"),
        ("a..b", "an address, a range, a prefix or a name"),
        ("-x", "an address, a range, a prefix or a name"),
        ("a b", "an address, a range, a prefix or a name"),
        ("a" * 64, "an address, a range, a prefix or a name"),
        ("a\0b", "an address, a range, a prefix or a name"),
        ("10.0.0.1,10.0.0.2", "an address, a range, a prefix or a name"),
    ],
)
def test_a_bad_specification_is_refused_with_its_text_and_what_would_do(spec: str, complaint: str) -> None:
    with pytest.raises(InvalidTarget) as refused:
        parse_spec(spec)
    assert complaint in str(refused.value)
    assert repr(spec) in str(refused.value)


@given(st.text() | st.text("0123456789abf.:/-% ", max_size=40))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        piece = parse_spec(text)
    except InvalidArgument as refused:
        complaint = str(refused)
    else:
        complaint = f"none, {piece.count} targets"
    assert complaint.startswith(("target must be", "none"))


# Files


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


def in_file(path: Path) -> list[tuple[str, str]]:
    with closing(WordFile(str(path))) as source:
        found = list(source)
        assert list(source) == found
        return found


def test_a_file_has_comments_blanks_and_lines_of_any_system(listed: Path) -> None:
    listed.write_bytes(b"\xef\xbb\xbf# hosts\r\n10.0.0.1\r\n\n  10.0.0.2\t10.0.0.3 # two\n#\n10.0.0.4#no\nlast")
    assert in_file(listed) == [
        ("10.0.0.1", f"{listed}, line 2"),
        ("10.0.0.2", f"{listed}, line 4"),
        ("10.0.0.3", f"{listed}, line 4"),
        ("10.0.0.4", f"{listed}, line 6"),
        ("last", f"{listed}, line 7"),
    ]


@given(lines=st.lists(st.integers(1, 80), max_size=30), wide=st.integers(0, 3000))
@settings(deadline=None)
def test_words_are_whole_wherever_the_file_is_cut_while_reading(
    lines: list[int], wide: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lists") / "hosts"
    words = [f"h{number}{'x' * length}" for number, length in enumerate(lines * (wide + 1))]
    path.write_text("\n".join(words))
    assert [word for word, _ in in_file(path)] == words


def test_a_pipe_is_read_as_often_as_a_file() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"10.0.0.1\n10.0.0.2\n")
    os.close(writer)
    try:
        assert [word for word, _ in in_file(Path(f"/dev/fd/{reader}"))] == ["10.0.0.1", "10.0.0.2"]
    finally:
        os.close(reader)


def test_a_bad_line_is_named(listed: Path) -> None:
    listed.write_text("10.0.0.1\n\n10.0.0.300 # wrong\n")
    with pytest.raises(InvalidTarget) as refused, closing(WordFile(str(listed))) as source:
        TargetList([source])
    assert refused.value.place == f"{listed}, line 3"
    assert str(refused.value).startswith(f"{listed}, line 3: target must be an IPv4 address")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/nonexistent/hosts", "No such file"), ("/", "Is a directory"), ("a\0b", "null byte")],
)
def test_a_file_that_cannot_be_read_is_named(path: str, reason: str) -> None:
    with pytest.raises(InvalidTarget, match=reason):
        WordFile(path)


def test_a_file_that_fails_while_it_is_read_is_named() -> None:
    # A regular file whose first page is never there.
    with pytest.raises(InvalidTarget, match="'/proc/self/mem'"):
        in_file(Path("/proc/self/mem"))


def test_a_file_that_is_one_line_is_refused(listed: Path) -> None:
    listed.write_bytes(b"x" * 1_000_000)
    with pytest.raises(InvalidTarget, match="lines of at most"):
        in_file(listed)


# What the stream consists of


def test_a_prefix_comes_in_blocks_and_what_no_block_can_say_singly() -> None:
    with TargetList.of("10.0.0.0/22", "224.0.0.1", "2001:db8::/119", "2001:db8::", "fe80::1") as targets:
        items = list(targets.items())
        singles = [item for item in items if isinstance(item, Target)]
        blocks = [item for item in items if isinstance(item, TargetBlock)]
        assert len(items) == len(singles) + len(blocks)
        assert sum(map(len, blocks)) == 1022 + 511
        assert [target.host for target in singles] == ["224.0.0.1", "2001:db8::", "fe80::1"]
        assert [target.answered_by_others for target in singles] == [True, True, False]


def test_an_address_is_called_what_it_was_written_as() -> None:
    with TargetList.of("2001:DB8::0:1", "fe80::1%1") as targets:
        found = [item for item in targets.targets() if isinstance(item, Target)]
    assert [target.host for target in found] == ["2001:DB8::0:1", "fe80::1%1"]
    assert [target.address for target in found] == [("2001:db8::1", 0, 0, 0), ("fe80::1", 0, 0, 1)]


def test_a_link_local_address_without_a_scope_is_on_the_interface_to_send_by() -> None:
    with TargetList.of("fe80::1", "2001:db8::1", options=ProbeOptions(interface=3)) as targets:
        found = [item.address[3] for item in targets.targets() if isinstance(item, Target)]
    assert found == [3, 0]


def test_what_is_of_another_family_is_told_once() -> None:
    with TargetList.of("10.0.0.1", "2001:db8::/120", family=AF_INET) as targets:
        items = list(targets.targets())
    assert items[1:] == [Unresolved("2001:db8::/120", "Address family for hostname not supported")]


def test_whole_prefixes_have_their_first_and_last_address() -> None:
    with TargetList.of("10.0.0.0/30", "2001:db8::/126", whole_prefixes=True) as targets:
        assert texts(targets) == [*(f"10.0.0.{n}" for n in range(4)), *(f"2001:db8::{n or ''}" for n in range(4))]


def test_names_stay_names_until_they_are_looked_up_and_are_excluded_by_address() -> None:
    with TargetList.of("a.example", "10.0.0.1", exclude=["10.9.0.0/16"]) as targets:
        assert not targets.only_addresses
        assert next(targets.items()) == Name("a.example")
        found = [Destination(AF_INET, (address, 0), "") for address in ("10.9.0.1", "10.8.0.1")]
        assert targets.targets_of("a.example", found) == [Target("a.example", AF_INET, ("10.8.0.1", 0))]


def test_an_excluded_name_is_excluded_by_its_addresses() -> None:
    with TargetList.of("127.0.0.1", "127.0.0.2", "::1", exclude=["localhost"]) as targets:
        assert "127.0.0.1" not in texts(targets)
        assert "127.0.0.2" in texts(targets)


def test_an_exclusion_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidTarget, match="exclusion must be a name that is known"):
        TargetList.of("127.0.0.1", exclude=["nobody.invalid"])


def test_an_exclusion_with_a_scope_holds_there_only() -> None:
    chosen = ["fe80::1%1", "fe80::1%2", "fe80::2%2"]
    with TargetList.of(*chosen, exclude=["fe80::1%2"]) as targets:
        assert [target.host for target in targets.targets() if isinstance(target, Target)] == ["fe80::1%1", "fe80::2%2"]
    with TargetList.of(*chosen, exclude=["fe80::1"]) as targets:
        assert [target.host for target in targets.targets() if isinstance(target, Target)] == ["fe80::2%2"]


@pytest.mark.parametrize(("interface", "left"), [(0, ["fe80::1"]), (1, ["fe80::1"]), (2, [])])
def test_an_exclusion_with_a_scope_holds_for_the_interface_to_send_by(interface: int, left: list[str]) -> None:
    options = ProbeOptions(interface=interface)
    with TargetList.of("fe80::1", "fe80::1%2", exclude=["fe80::1%2"], options=options) as targets:
        assert [target.host for target in targets.targets() if isinstance(target, Target)] == left


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_is_checked(seed: int) -> None:
    with pytest.raises(InvalidArgument, match="seed"):
        TargetList.of("10.0.0.1", seed=seed)


def test_the_digest_tells_lists_apart() -> None:
    def digest(*chosen: str, **settings: Any) -> str:
        with TargetList.of(*chosen, **settings) as targets:
            return targets.digest

    lists = [
        digest("10.0.0.1", "10.0.0.2"),
        digest("10.0.0.2", "10.0.0.1"),
        digest("10.0.0.1"),
        digest("10.0.0.1", exclude=["10.0.0.2"]),
        digest("10.0.0.1", "10.0.0.2", seed=1),
        digest("10.0.0.1", "10.0.0.2", family=AF_INET6),
        digest("10.0.0.1", "10.0.0.2", whole_prefixes=True),
    ]
    assert len(set(lists)) == len(lists)
    assert digest("10.0.0.1", "10.0.0.2") == lists[0]


@pytest.mark.parametrize("seed", [None, 7])
def test_a_million_targets_need_no_more_memory_than_a_thousand(seed: int | None) -> None:
    def peak(spec: str, most: int) -> int:
        with TargetList.of(spec, seed=seed) as targets:
            tracemalloc.start()
            try:
                for number, _ in enumerate(targets.items()):
                    if number * 256 > most:
                        break
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert peak("10.0.0.0/12", 50_000) < 2 * peak("10.0.0.0/22", 1000) + 100_000


def test_a_long_file_is_not_held(listed: Path) -> None:
    listed.write_text("".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(30_000)))
    with closing(WordFile(str(listed))) as source:
        tracemalloc.start()
        try:
            targets = TargetList([source])
            assert sum(len(item) for item in targets.items() if isinstance(item, TargetBlock)) == 30_000
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
