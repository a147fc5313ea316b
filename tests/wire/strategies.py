"""What the tests of `wire` draw their examples from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pingsock.wire import icmp4, icmp6
from pingsock.wire.extensions import ExtensionObject, MplsLabel, MplsLabelStack, UnknownObject
from pingsock.wire.interfaces import InterfaceByAddress, InterfaceByIndex, InterfaceByName, InterfaceInformation
from pingsock.wire.ipv4 import IPv4Header
from pingsock.wire.ipv4_options import pad_options
from pingsock.wire.ipv6 import AUTHENTICATION, EXTENSION_HEADERS, FRAGMENT, ExtensionHeader, IPv6Header
from pingsock.wire.node_information import NodeInformation, NodeInformationQuery, NodeInformationReply, NodeName

octet = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFF)
word24 = st.integers(0, 0xFFFFFF)
long = st.integers(0, 0xFFFFFFFF)
data = st.binary(max_size=80)
address4 = st.binary(min_size=4, max_size=4)
address6 = st.binary(min_size=16, max_size=16)


def _echo(cls: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(cls, word, word, data, octet)


def _extended(request: type[Any], reply: type[Any]) -> st.SearchStrategy[Any]:
    flags = (st.booleans(),) * 3
    return st.builds(request, word, octet, st.booleans(), data, st.integers(0, 127), octet) | st.builds(
        reply, word, octet, octet, st.integers(0, 7), *flags, data, st.integers(0, 3)
    )


icmp4_messages: st.SearchStrategy[icmp4.Icmp4Message] = st.one_of(
    *map(_echo, (icmp4.EchoRequest, icmp4.EchoReply, icmp4.InformationRequest, icmp4.InformationReply)),
    _extended(icmp4.ExtendedEchoRequest, icmp4.ExtendedEchoReply),
    st.builds(icmp4.TimestampRequest, word, word, long, long, long, data, octet),
    st.builds(icmp4.TimestampReply, word, word, long, long, long, data, octet),
    st.builds(icmp4.AddressMaskRequest, word, word, address4, data, octet),
    st.builds(icmp4.AddressMaskReply, word, word, address4, data, octet),
    st.builds(icmp4.DestinationUnreachable, octet, data, word, octet, octet),
    st.builds(icmp4.SourceQuench, data, long, octet),
    st.builds(icmp4.Redirect, octet, address4, data),
    st.builds(icmp4.TimeExceeded, octet, data, octet, word24),
    st.builds(icmp4.ParameterProblem, octet, data, octet, octet, word),
    st.builds(icmp4.Unknown, st.sampled_from([1, 2, 6, 9, 44, 255]), octet, st.binary(min_size=4, max_size=40)),
)

icmp6_messages: st.SearchStrategy[icmp6.Icmp6Message] = st.one_of(
    *map(_echo, (icmp6.EchoRequest, icmp6.EchoReply)),
    _extended(icmp6.ExtendedEchoRequest, icmp6.ExtendedEchoReply),
    st.builds(icmp6.DestinationUnreachable, octet, data, octet, word24),
    st.builds(icmp6.TimeExceeded, octet, data, octet, word24),
    st.builds(icmp6.PacketTooBig, long, data, octet),
    st.builds(icmp6.ParameterProblem, long, data, octet),
    st.builds(icmp6.Redirect, address6, address6, data, long, octet),
    st.builds(icmp6.Unknown, st.sampled_from([0, 5, 135, 255]), octet, st.binary(min_size=4, max_size=40)),
)

_nonce = st.binary(min_size=8, max_size=8)
node_information: st.SearchStrategy[NodeInformation] = st.one_of(
    *(st.builds(cls, octet, word, word, _nonce, data) for cls in (NodeInformationQuery, NodeInformationReply))
)
_label = st.binary(min_size=1, max_size=63)
node_names = st.builds(NodeName, st.lists(_label, min_size=1, max_size=5).map(tuple), st.booleans())

_hop = st.sampled_from([bytes((10, 77, 0, last)) for last in (1, 2, 3, 200)]) | address4


@st.composite
def _slots(draw: st.DrawFn, kind: int, head: int) -> bytes:
    """An option with slots; its pointer mostly where a host would have left it."""
    body = b"".join(draw(st.lists(_hop, max_size=(40 - head) // 4)))
    body += draw(st.sampled_from([b"", b"", b"", b"\0", b"\0\0\0"]))
    length = head + len(body)
    pointer = draw(st.integers(0, 10).map(lambda slot: head + 1 + 4 * slot) | st.integers(0, 60))
    extra = bytes((draw(st.sampled_from([0, 1, 3, 0, 1, 3, 2, 0xF0, 0xE1, 0xF3]) | octet),)) if head == 4 else b""
    return bytes((kind, length & 0xFF, pointer)) + extra + body


ipv4_option = st.one_of(
    st.just(b"\1"),
    _slots(7, 3),
    _slots(68, 4),
    _slots(131, 3),
    _slots(137, 3),
    st.sampled_from([b"\x94\x04\0\0", b"\x94\x04\0\1", b"\x94\x03\0", b"\0", b"\0\7", b"\x1e\4ab", b"\x86\6\0\0\0\1"]),
    st.builds(lambda kind, body: bytes((kind, len(body) + 2)) + body, octet, st.binary(max_size=6)),
)
_some_options = st.lists(ipv4_option, max_size=4).map(b"".join)
ipv4_options = _some_options.map(lambda options: options[:40]) | st.binary(max_size=42)

ipv4_headers = st.builds(
    IPv4Header,
    address4,
    address4,
    octet,
    octet,
    octet,
    word,
    st.booleans(),
    st.booleans(),
    st.integers(0, 0x1FFF).map(lambda units: 8 * units),
    _some_options.map(pad_options).filter(lambda options: len(options) <= 40),
    reserved=st.booleans(),
)
ipv6_headers = st.builds(IPv6Header, address6, address6, octet, octet, octet, st.integers(0, 0xFFFFF))


@st.composite
def _extension_header(draw: st.DrawFn) -> ExtensionHeader:
    kind = draw(st.sampled_from(sorted(EXTENSION_HEADERS - {FRAGMENT})))
    units = draw(st.integers(0, 2))
    length = (units + 2) * 4 if kind == AUTHENTICATION else (units + 1) * 8
    return ExtensionHeader(kind, bytes((0, units)) + draw(st.binary(min_size=length - 2, max_size=length - 2)))


extension_headers = st.lists(_extension_header(), max_size=4)

_name = st.binary(max_size=63).filter(lambda name: not name.endswith(b"\0"))
_labels = st.builds(MplsLabel, st.integers(0, (1 << 20) - 1), st.integers(0, 7), st.booleans(), octet)
extension_objects: st.SearchStrategy[ExtensionObject] = st.one_of(
    st.builds(MplsLabelStack, st.lists(_labels, max_size=4).map(tuple)),
    st.builds(
        InterfaceInformation,
        st.integers(0, 3),
        st.none() | long,
        st.none() | address4 | address6,
        st.none() | _name,
        st.none() | long,
    ),
    st.builds(InterfaceByName, _name),
    st.builds(InterfaceByIndex, long),
    st.builds(InterfaceByAddress, address4, st.just(1)),
    st.builds(InterfaceByAddress, address6, st.just(2)),
    st.builds(InterfaceByAddress, st.binary(min_size=6, max_size=6), st.just(16389)),
    st.builds(UnknownObject, st.integers(4, 255), octet, data),
)
