"""Wireshark's decoder as a witness: what the lab says is what the standards say."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab.bench import Bench, beside, path
from pingsock import lab
from pingsock.lab.icmp_errors import FAULTS
from pingsock.wire.extensions import interface_query
from pingsock.wire.interfaces import InterfaceByName

if TYPE_CHECKING:
    from pathlib import Path

FAR, FAR6 = "192.0.2.1", "2001:db8:aaaa::1"

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs the program tshark")


def tshark(file: Path, *options: str) -> str:
    command = ["tshark", "-n", "-r", str(file), "-o", "ip.check_checksum:TRUE", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def decoded(bench: Bench, file: Path, *fields: str) -> list[list[str]]:
    """Fields of each packet the bench receives; fails if tshark finds anything malformed."""
    with file.open("wb") as opened:
        sender = bench.attachment.interfaces[0].peer
        bench.network.observers.append(lab.PcapWriter(opened, sender).observe)
        bench.until(bench.network.now + 100.0)
    wrong = "_ws.malformed || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || ip.checksum.status == 0"
    wrong += " || icmp.ext.checksum.status == 0"
    assert tshark(file, "-Y", wrong) == ""
    shown = tshark(file, "-T", "fields", *(part for field in fields for part in ("-e", field)))
    return [line.split("\t") for line in shown.splitlines()]


def test_mpls_labels_are_decoded(tmp_path: Path) -> None:
    bench = path(3, delay=0.001)
    bench.network.node("r2").configure(labels=[{"label": 16001, "traffic_class": 5, "ttl": 1}, {"label": 3, "ttl": 9}])
    bench.ping(FAR, hop_limit=2)
    bench.ping(FAR6, hop_limit=2)
    fields = [f"icmp.mpls.{field}" for field in ("label", "exp", "s", "ttl")]
    assert decoded(bench, tmp_path / "x.pcap", *fields) == [["16001,3", "5,0", "0,1", "1,9"]] * 2


def test_interfaces_are_decoded(tmp_path: Path) -> None:
    bench = path(3, delay=0.001)
    bench.network.node("r2").configure(interface_info=["incoming", "outgoing"], labels=[7])
    bench.ping(FAR, hop_limit=2)
    fields = ("icmp.int_info.role", "icmp.int_info.index", "icmp.int_info.ipv4", "icmp.int_info.name")
    (told,) = decoded(bench, tmp_path / "x.pcap", *fields, "icmp.mpls.label")
    assert told == ["0,2", "1,2", "10.0.1.2,10.0.2.1", "r1,r3", "7"]


def test_extensions_without_a_length_field_are_decoded(tmp_path: Path) -> None:
    bench = path(3, delay=0.001)
    bench.network.node("r2").configure(labels=[7], rfc4884=False)
    bench.ping(FAR, hop_limit=2)
    assert decoded(bench, tmp_path / "x.pcap", "icmp.mpls.label") == [["7"]]


@pytest.mark.parametrize("version", [4, 6])
def test_every_error_is_decoded(tmp_path: Path, version: int) -> None:
    bench, far = beside()
    for number, fault in enumerate(FAULTS):
        gateway = "10.9.9.9" if version == 4 else "fe80::9"
        far.rule(
            {"do": "error", "fault": fault, "mtu": 1300, "gateway": gateway, "delay": 1.0 + number}, sequence=number
        )
        bench.ping(FAR if version == 4 else FAR6, number)
    name = "icmp" if version == 4 else "icmpv6"
    shown = decoded(bench, tmp_path / "x.pcap", f"{name}.type", f"{name}.code")
    first = [[part.partition(",")[0] for part in line] for line in shown]
    assert first == [[str(number) for number in kinds[version == 6]] for kinds in FAULTS.values()]


def test_answers_are_decoded(tmp_path: Path) -> None:
    bench, _ = beside()
    bench.attachment.interfaces[0].peer.channel.direction = lab.Direction(delay=0.5)
    bench.attachment.interfaces[0].channel.direction = lab.Direction(delay=0.5)
    bench.ping(FAR)
    bench.ping(FAR6)
    for kind, rest in ((13, bytes(16)), (15, bytes(4)), (17, bytes(8))):
        bench.icmp(FAR, kind, 0, rest)
    query = interface_query(InterfaceByName(b"cable1"))
    bench.icmp(FAR, 42, 0, struct.pack("!HBB", 7, 1, 1) + query)
    bench.icmp(FAR6, 160, 0, struct.pack("!HBB", 7, 1, 1) + query)
    shown = decoded(bench, tmp_path / "x.pcap", "icmp.type", "icmpv6.type", "icmp.code")
    assert shown == [
        ["0", "", "0"],
        ["", "129", ""],
        ["14", "", "0"],
        ["16", "", "0"],
        ["18", "", "0"],
        ["43", "", "0"],
        ["", "161", ""],
    ]


def test_times_in_a_capture_are_those_of_the_day(tmp_path: Path) -> None:
    bench, _ = beside()
    bench.network.epoch = 1_700_000_000.0
    bench.network.node("far").rule({"do": "delay", "seconds": 1.25})
    bench.ping(FAR)
    assert decoded(bench, tmp_path / "x.pcap", "frame.time_epoch") == [["1700000001.250000000"]]
