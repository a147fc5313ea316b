"""What we build, as tshark reads it.

A row: what it shows, the packet, and the fields as tshark prints them (all values of a field, in order).
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from pingsock.wire import icmp4, icmp6
from pingsock.wire.checksum import with_checksum6
from pingsock.wire.extensions import MplsLabel, MplsLabelStack, extend4, extend6, interface_query
from pingsock.wire.interfaces import (
    INCOMING,
    InterfaceByAddress,
    InterfaceByIndex,
    InterfaceByName,
    InterfaceInformation,
)
from pingsock.wire.ipv4 import IPv4Header, build_ipv4
from pingsock.wire.ipv4_option_values import (
    LooseSourceRoute,
    NoOperation,
    RecordRoute,
    RouterAlert,
    Timestamp,
    options_to_bytes,
)
from pingsock.wire.ipv6 import FRAGMENT, HOP_BY_HOP_OPTIONS, ExtensionHeader, FragmentInfo, IPv6Header, build_ipv6
from pingsock.wire.node_information import (
    ADDRESSES_4,
    ADDRESSES_6,
    ALL_ADDRESSES,
    GLOBAL_ADDRESSES,
    NAMES,
    SUBJECT_IS_ADDRESS_6,
    SUBJECT_IS_NAME,
    SUCCESS,
    TRUNCATED,
    NodeInformationQuery,
    NodeInformationReply,
    NodeName,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pingsock.wire.node_information import NodeInformation

    Fields = dict[str, list[str]]

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")

LINKTYPE_RAW = 101
HERE, THERE = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
HERE6 = bytes.fromhex("20010db8000000000000000000000001")
THERE6 = bytes.fromhex("20010db8000000000000000000000002")

ECHO = icmp4.EchoRequest(0x1234, 7, bytes(56))
PROBE = build_ipv4(IPv4Header(HERE, THERE, ttl=1, identification=0x4242), ECHO.to_bytes())
ECHO6 = icmp6.EchoRequest(0x1234, 7, bytes(56))
NONCE = bytes(range(1, 9))
PROBE6 = build_ipv6(IPv6Header(HERE6, THERE6, hop_limit=1), ECHO6.to_bytes(HERE6, THERE6))
OBJECTS = (
    MplsLabelStack((MplsLabel(16, 0, False, 1), MplsLabel(0xABCDE, 5, True, 254))),
    InterfaceInformation(INCOMING, 15, HERE, b"eth0", 1500),
)
OBJECT_FIELDS = {
    "icmp.ext.version": ["2"],
    "icmp.ext.checksum.status": ["1"],
    "icmp.ext.class": ["1", "2"],
    "icmp.ext.ctype": ["1", "15"],
    "icmp.mpls.label": ["16", "703710"],
    "icmp.mpls.exp": ["0", "5"],
    "icmp.mpls.s": ["0", "1"],
    "icmp.mpls.ttl": ["1", "254"],
    "icmp.int_info.index": ["15"],
    "icmp.int_info.ipv4": ["10.9.0.1"],
    "icmp.int_info.name": ["eth0"],
    "icmp.int_info.mtu": ["1500"],
}
OPTIONS = (
    NoOperation(),
    RecordRoute(HERE + bytes(4), 8),
    LooseSourceRoute(THERE, 8),
    Timestamp(HERE + bytes((0, 0, 0, 9)), 1, 13),
    RouterAlert(),
)


def packet4(message: icmp4.Icmp4Message, options: bytes = b"") -> bytes:
    return build_ipv4(IPv4Header(HERE, THERE, options=options), message.to_bytes())


def node_information(message: NodeInformation) -> bytes:
    return build_ipv6(IPv6Header(HERE6, THERE6), with_checksum6(HERE6, THERE6, message.to_bytes()))


def packet6(message: icmp6.Icmp6Message, *extensions: ExtensionHeader) -> bytes:
    return build_ipv6(IPv6Header(HERE6, THERE6, traffic_class=0xB8), message.to_bytes(HERE6, THERE6), extensions)


BODY, LENGTH = extend4(PROBE, OBJECTS)
BODY6, LENGTH6 = extend6(PROBE6, OBJECTS)
ROWS: dict[str, tuple[bytes, Fields]] = {
    "the IPv4 header": (
        build_ipv4(
            IPv4Header(HERE, THERE, 1, 63, 0xBA, 0x4242, dont_fragment=True), icmp4.EchoRequest(1, 2, b"abc").to_bytes()
        ),
        {
            "ip.src": ["10.9.0.1"],
            "ip.dst": ["10.9.0.2"],
            "ip.ttl": ["63"],
            "ip.dsfield.dscp": ["46"],
            "ip.dsfield.ecn": ["2"],
            "ip.id": ["0x4242"],
            "ip.flags.df": ["1"],
            "ip.flags.mf": ["0"],
            "ip.len": ["31"],
            "ip.checksum.status": ["1"],
        },
    ),
    "a fragment": (
        build_ipv4(IPv4Header(HERE, THERE, more_fragments=True, fragment_offset=1480), bytes(16)),
        {"ip.flags.mf": ["1"], "ip.len": ["36"], "ip.checksum.status": ["1"]},
    ),
    "IPv4 options": (
        packet4(icmp4.EchoRequest(1, 2), options_to_bytes(OPTIONS)),
        {
            "ip.opt.type": ["1", "7", "131", "68", "148", "0"],
            "ip.opt.len": ["11", "7", "12", "4"],
            "ip.opt.ptr": ["8", "8", "13"],
            "ip.opt.flag": ["0x01"],
            "ip.opt.overflow": ["0"],
            "ip.opt.time_stamp": ["9"],
            "ip.checksum.status": ["1"],
        },
    ),
    "echo": (
        packet4(icmp4.EchoRequest(0x1234, 7, b"abc")),
        {"icmp.type": ["8"], "icmp.ident": ["4660"], "icmp.seq": ["7"], "icmp.checksum.status": ["1"]},
    ),
    "timestamp": (
        packet4(icmp4.TimestampReply(1, 2, 3, 4, 5)),
        {
            "icmp.type": ["14"],
            "icmp.originate_timestamp": ["3"],
            "icmp.receive_timestamp": ["4"],
            "icmp.transmit_timestamp": ["5"],
            "icmp.checksum.status": ["1"],
        },
    ),
    "address mask": (
        packet4(icmp4.AddressMaskReply(1, 2, bytes((255, 255, 255, 0)))),
        {"icmp.type": ["18"], "icmp.address_mask": ["255.255.255.0"]},
    ),
    "information": (packet4(icmp4.InformationReply(1, 2)), {"icmp.type": ["16"], "icmp.checksum.status": ["1"]}),
    "fragmentation needed": (
        packet4(icmp4.DestinationUnreachable(4, PROBE, 1400)),
        {
            "icmp.type": ["3", "8"],
            "icmp.code": ["4", "0"],
            "icmp.mtu": ["1400"],
            "icmp.ident": ["4660"],
            "ip.id": ["0x0000", "0x4242"],
        },
    ),
    "redirect": (
        packet4(icmp4.Redirect(1, bytes((10, 9, 0, 253)), PROBE)),
        {"icmp.type": ["5", "8"], "icmp.code": ["1", "0"], "icmp.redir_gw": ["10.9.0.253"]},
    ),
    "parameter problem": (
        packet4(icmp4.ParameterProblem(20, PROBE)),
        {"icmp.type": ["12", "8"], "icmp.pointer": ["20"], "icmp.seq": ["7"]},
    ),
    "time exceeded with extensions": (
        packet4(icmp4.TimeExceeded(0, BODY, LENGTH)),
        {"icmp.type": ["11", "8"], "icmp.length": ["32"], "icmp.length.original_datagram": ["128"], **OBJECT_FIELDS},
    ),
    "extended echo by name": (
        packet4(icmp4.ExtendedEchoRequest(0x1234, 0x56, True, interface_query(InterfaceByName(b"eth0")))),
        {
            "icmp.type": ["42"],
            "icmp.ident": ["4660"],
            "icmp.ext.echo.seq": ["86"],
            "icmp.ext.echo.req.local": ["1"],
            "icmp.ext.class": ["3"],
            "icmp.ext.ctype": ["1"],
            "icmp.int_ident.name": ["eth0"],
            "icmp.ext.checksum.status": ["1"],
        },
    ),
    "extended echo by index": (
        packet4(icmp4.ExtendedEchoRequest(1, 2, False, interface_query(InterfaceByIndex(7)))),
        {"icmp.ext.echo.req.local": ["0"], "icmp.ext.ctype": ["2"], "icmp.int_ident.index": ["7"]},
    ),
    "extended echo by address": (
        packet4(icmp4.ExtendedEchoRequest(1, 2, True, interface_query(InterfaceByAddress(HERE6)))),
        {"icmp.ext.ctype": ["3"], "icmp.int_ident.afi": ["2"], "icmp.int_ident.ipv6": ["2001:db8::1"]},
    ),
    "extended echo reply": (
        packet4(icmp4.ExtendedEchoReply(1, 2, 0, 2, True, True, False)),
        {
            "icmp.ext.echo.rsp.state": ["2"],
            "icmp.ext.echo.rsp.active": ["1"],
            "icmp.ext.echo.rsp.ipv4": ["1"],
            "icmp.ext.echo.rsp.ipv6": ["0"],
        },
    ),
    "the IPv6 header": (
        packet6(icmp6.EchoRequest(0x1234, 7, b"abc")),
        {
            "ipv6.src": ["2001:db8::1"],
            "ipv6.tclass": ["0x000000b8"],
            "ipv6.hlim": ["64"],
            "ipv6.plen": ["11"],
            "icmpv6.type": ["128"],
            "icmpv6.echo.identifier": ["0x1234"],
            "icmpv6.echo.sequence_number": ["7"],
            "icmpv6.checksum.status": ["1"],
        },
    ),
    "IPv6 extension headers": (
        packet6(
            icmp6.EchoReply(1, 2),
            ExtensionHeader(HOP_BY_HOP_OPTIONS, bytes.fromhex("0000 05020000 0100")),
            ExtensionHeader(FRAGMENT, FragmentInfo(0, False, 0xABCD).to_bytes(0)),
        ),
        {"ipv6.opt.router_alert": ["0"], "ipv6.fraghdr.ident": ["0x0000abcd"], "icmpv6.type": ["129"]},
    ),
    "packet too big": (
        packet6(icmp6.PacketTooBig(1280, PROBE6)),
        {"icmpv6.type": ["2", "128"], "icmpv6.mtu": ["1280"], "ipv6.hlim": ["64", "1"]},
    ),
    "parameter problem on IPv6": (
        packet6(icmp6.ParameterProblem(40, PROBE6, 1)),
        {"icmpv6.type": ["4", "128"], "icmpv6.code": ["1", "0"], "icmpv6.pointer": ["40"]},
    ),
    "redirect on IPv6": (
        packet6(icmp6.Redirect(HERE6, THERE6, bytes.fromhex("0201 020304050607"))),
        {"icmpv6.nd.rd.target_address": ["2001:db8::1"], "icmpv6.rd.na.destination_address": ["2001:db8::2"]},
    ),
    "time exceeded with extensions on IPv6": (
        packet6(icmp6.TimeExceeded(0, BODY6, LENGTH6)),
        {"icmpv6.type": ["3", "128"], "icmpv6.checksum.status": ["1", "2"], **OBJECT_FIELDS},
    ),
    "extended echo on IPv6": (
        packet6(icmp6.ExtendedEchoRequest(0x1234, 0x56, True, interface_query(InterfaceByName(b"eth0")))),
        {"icmpv6.type": ["160"], "icmp.int_ident.name": ["eth0"], "icmpv6.checksum.status": ["1"]},
    ),
    "a question for a node's addresses": (
        node_information(
            NodeInformationQuery(SUBJECT_IS_ADDRESS_6, ADDRESSES_6, ALL_ADDRESSES | GLOBAL_ADDRESSES, NONCE, THERE6)
        ),
        {
            "icmpv6.type": ["139"],
            "icmpv6.code": ["0"],
            "icmpv6.ni.qtype": ["3"],
            "icmpv6.ni.flag.a": ["1"],
            "icmpv6.ni.flag.c": ["0"],
            "icmpv6.ni.flag.l": ["0"],
            "icmpv6.ni.flag.s": ["0"],
            "icmpv6.ni.flag.g": ["1"],
            "icmpv6.ni.nonce": ["0x0102030405060708"],
            "icmpv6.ni.query.subject_ipv6": ["2001:db8::2"],
            "icmpv6.checksum.status": ["1"],
        },
    ),
    "a question about a node by its name": (
        node_information(
            NodeInformationQuery(SUBJECT_IS_NAME, NAMES, 0, NONCE, NodeName((b"host", b"example")).to_bytes())
        ),
        {"icmpv6.code": ["1"], "icmpv6.ni.qtype": ["2"], "icmpv6.ni.query.subject_fqdn": ["host.example"]},
    ),
    "a node's names": (
        node_information(
            NodeInformationReply(
                SUCCESS, NAMES, 0, NONCE, bytes((0, 0, 0, 9)) + NodeName((b"host", b"example")).to_bytes()
            )
        ),
        {"icmpv6.type": ["140"], "icmpv6.ni.reply.node_ttl": ["9"], "icmpv6.ni.reply.node_name": ["host.example"]},
    ),
    "a node's addresses": (
        node_information(NodeInformationReply(SUCCESS, ADDRESSES_4, TRUNCATED, NONCE, bytes(4) + HERE)),
        {"icmpv6.ni.flag.t": ["1"], "icmpv6.ni.reply.ipv4_address": ["10.9.0.1"]},
    ),
}


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fields]:
    capture: Path = tmp_path_factory.mktemp("tshark") / "rows.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        for packet, _ in ROWS.values():
            file.write(struct.pack("=IIII", 0, 0, len(packet), len(packet)) + packet)
    names = sorted({name for _, fields in ROWS.values() for name in fields})
    command = ["tshark", "-r", str(capture), "-T", "json", "-o", "ip.check_checksum:TRUE", "-o", "ip.defragment:FALSE"]
    command += ["-o", "ipv6.defragment:FALSE"]
    for name in names:
        command += ["-e", name]
    output = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return {row: entry["_source"]["layers"] for row, entry in zip(ROWS, json.loads(output), strict=True)}


@pytest.mark.parametrize("row", ROWS)
def test_tshark_reads_what_we_wrote(dissected: dict[str, Fields], row: str) -> None:
    expected = ROWS[row][1]
    assert {name: dissected[row].get(name) for name in expected} == expected
