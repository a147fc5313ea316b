"""Whatever arrives, a lab goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.bench import ME, ME6, Bench, path
from pingsock import lab
from pingsock.lab.prefixes import pack_address

TARGETS = ["192.0.2.1", "10.0.1.1", "10.0.1.77", "198.51.100.2", "9.9.9.9", "224.0.0.1", "0.0.0.0", "255.255.255.255"]
TARGETS6 = ["2001:db8:aaaa::1", "2001:db8:1::1", "2001:db8:1::77", "2001:db8:ffff::2", "::", "ff02::1", "fe80::1"]


def awkward() -> Bench:
    bench = path(2)
    bench.network.links[0].change(mtu=300)
    bench.network.node("r1").configure(labels=[1, 2], interface_info=["incoming", "outgoing"], multipath="flow")
    bench.network.node("r2").configure(quote=28, rfc4884=False, labels=[3])
    bench.network.node("far").rule({"do": "truncate", "size": 5}, {"do": "change", "ident_shift": 1}, every=3)
    return bench


def run(bench: Bench) -> None:
    bench.network.run_until(bench.network.now + 100.0)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes(packets: list[bytes]) -> None:
    bench = awkward()
    for packet in packets:
        bench.near.send(packet)
    run(bench)


@st.composite
def datagrams(draw: st.DrawFn) -> lab.Datagram:
    version = draw(st.sampled_from([4, 6]))
    own = [ME, *TARGETS] if version == 4 else [ME6, *TARGETS6]
    fragmented = draw(st.booleans()) and version == 4
    return lab.Datagram(
        pack_address(draw(st.sampled_from(own))),
        pack_address(draw(st.sampled_from(own[1:]))),
        draw(st.sampled_from([1, 58, 17, 6, 44, 0, 43, 51, 255])),
        draw(st.binary(max_size=400)),
        draw(st.integers(0, 255)),
        dont_fragment=draw(st.booleans()) and version == 4,
        more_fragments=fragmented,
        offset=draw(st.sampled_from([0, 8, 65528])) if fragmented else 0,
        options=draw(st.binary(max_size=10).map(lambda data: data * 4)) if version == 4 else b"",
    )


@given(st.lists(datagrams(), max_size=5), st.booleans())
def test_any_packets(packets: list[lab.Datagram], right_checksums: bool) -> None:
    bench = awkward()
    for packet in packets:
        bench.send(packet.sealed() if right_checksums else packet)
    run(bench)


@given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=4, max_size=200), st.sampled_from([4, 6]))
def test_any_message_to_a_host(kind: int, code: int, rest: bytes, version: int) -> None:
    bench = path(1)
    bench.icmp("192.0.2.1" if version == 4 else "2001:db8:aaaa::1", kind, code, rest)
    run(bench)
