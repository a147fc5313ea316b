"""What a host answers to is what the kernel answers to, byte for byte, for two hosts configured alike."""

from __future__ import annotations

import itertools
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from link.harness import echo4, ip, packet4, packet6
from link.private_network import private_network
from pingsock.link.cable import memory_cable
from pingsock.link.fragments import fragment_ipv4, fragment_ipv6
from pingsock.link.host import HostLink
from pingsock.link.tun import TunDevice
from pingsock.wire.checksum import with_checksum
from pingsock.wire.ipv6 import ExtensionHeader, IPv6Header, build_ipv6, skip_extension_headers_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["private_network"]
pytestmark = pytest.mark.usefixtures("private_network")

ADDRESSES = ["10.9.0.1/24", "10.9.0.3/24", "2001:db8:9::1/64", "fe80::1/64"]
SETTINGS = {
    "ipv4.icmp_echo_ignore_broadcasts": (1, 0),
    "ipv4.icmp_echo_enable_probe": (0, 1),
    "ipv4.conf.all.accept_source_route": (0, 1),
    "ipv6.icmp.echo_ignore_multicast": (0, 1),
    "ipv4.icmp_echo_ignore_all": (0, 1),
    "ipv6.icmp.echo_ignore_all": (0, 1),
    "ipv4.ip_default_ttl": (64, 77),
}
KERNEL_SETTINGS = (("ipv6/conf/eth0/addr_gen_mode", 1), ("ipv4/conf/all/rp_filter", 0), ("ipv4/conf/eth0/rp_filter", 0))
ERRORS4, NOT_ANSWERS6 = {3, 5, 11, 12}, {1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143}


def set_both(host: HostLink, name: str, value: int) -> None:
    with open("/proc/sys/net/" + name.replace(".", "/"), "w") as setting:
        setting.write(str(value))
    host.set_sysctl(name, value)


class Pair:
    """The kernel and a host of ours, each at the end of a cable, asked the same."""

    def __init__(self) -> None:
        self.device = TunDevice("eth0")
        for path, value in KERNEL_SETTINGS:
            with open(f"/proc/sys/net/{path}", "w") as setting:
                setting.write(str(value))
        self.device.configure(ADDRESSES)
        self.device.add_route("0.0.0.0/0", "10.9.0.254")
        self.device.add_route("::/0", "2001:db8:9::fe")
        self.host = HostLink()
        near, self.far = memory_cable()
        self.host.add_interface("eth0", near, ADDRESSES)
        self.host.add_route("default", via="10.9.0.254")
        self.host.add_route("default", via="2001:db8:9::fe")
        for name, (usual, _) in SETTINGS.items():
            set_both(self.host, name, usual)

    def kernel(self, packets: list[bytes]) -> list[bytes]:
        """The answers to some packets; a request that is surely answered tells when they are complete."""
        for packet in [*packets, packet4("10.9.0.77", "10.9.0.1", icmp(13, rest=bytes(16), ident=0xFFFF))]:
            self.device.send(packet)
        answers: list[bytes] = []
        while select.select([self.device], [], [], 10)[0]:
            packet = self.device.receive() or b""
            if packet[16:20] == ip("10.9.0.77"):
                return answers
            answers.append(packet)
        raise AssertionError("the kernel does not answer")

    def ours(self, packets: list[bytes]) -> list[bytes]:
        for packet in packets:
            self.far.send(packet)
        return list(iter(self.far.receive, None))


@pytest.fixture
def pair(private_network: None) -> Iterator[Pair]:
    made = Pair()
    yield made
    made.device.close()


def comparable(packets: list[bytes]) -> list[str]:
    """Answers without what each host numbers in its own way, times, and errors, which our host does not send."""
    return [text for packet in packets if (text := _four(packet) if packet[0] >> 4 == 4 else _six(packet))]


def _four(packet: bytes) -> str:
    length = (packet[0] & 0xF) * 4
    if packet[9] != 1 or (packet[length] in ERRORS4 and not packet[7]):
        return ""
    message = (
        packet[length:] if packet[length] != 14 else packet[length : length + 2] + packet[length + 4 : length + 12]
    )
    header = f"{packet[:4].hex()} {packet[6:10].hex()} {packet[12:20].hex()}"
    return f"{header} [{without_times(packet[20:length])}] {message.hex()}"


def without_times(options: bytes) -> str:
    """Milliseconds since midnight that lie in the last minutes become letters."""
    now = int(time.time() * 1000) % 86_400_000
    text, at = "", 0
    while at < len(options):
        word = int.from_bytes(options[at : at + 4], "big")
        is_time = len(options) - at >= 4 and now - 300_000 < word <= now + 1000
        text += "time" if is_time else options[at : at + 1].hex()
        at += 4 if is_time else 1
    return text


def _six(packet: bytes) -> str:
    if packet[6] == 44:
        return f"{packet[4:40].hex()} {packet[40:44].hex()} {packet[48:].hex()}"
    upper = skip_extension_headers_untrusted(packet)
    if upper.protocol != 58 or packet[upper.offset] in NOT_ANSWERS6:
        return ""
    return f"{packet[:1].hex()} {packet[4:].hex()}"


def icmp(kind: int, code: int = 0, rest: bytes = b"data", ident: int = 0x1234, sequence: int = 1) -> bytes:
    return echo4(kind, rest, code, ident, sequence)


def assert_alike(pair: Pair, questions: list[list[bytes]]) -> None:
    found = []
    answered = 0
    for packets in questions:
        kernel, ours = comparable(pair.kernel(packets)), comparable(pair.ours(packets))
        answered += bool(kernel)
        if kernel != ours:
            found.append(f"{[packet.hex() for packet in packets]}\n  kernel {kernel}\n  ours   {ours}")
    assert "\n".join(found) == ""
    assert answered, "no question was answered at all"


SOURCES4 = (
    *("10.9.0.2", "203.0.113.1", "240.0.0.1", "10.9.0.255", "10.9.0.0", "0.0.0.1", "127.0.0.1"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "10.9.0.1", "10.9.0.3"),
)
DESTINATIONS4 = (
    *("10.9.0.1", "10.9.0.3", "10.9.0.255", "255.255.255.255", "224.0.0.1", "224.0.0.9", "10.9.0.0"),
    *("10.9.0.9", "127.0.0.1", "0.0.0.0", "203.0.113.9"),
)
SOURCES6 = ("2001:db8:9::2", "2001:db8:1::1", "fe80::9", "ff02::1", "::1", "::", "::ffff:10.9.0.2", "2001:db8:9::1")
# Solicited-node groups are left out: the kernel does not join them on a TUN device, which has no neighbours.
DESTINATIONS6 = (
    *("2001:db8:9::1", "fe80::1", "ff02::1", "ff01::1", "ff02::2", "ff02::1:ff00:7"),
    *("2001:db8:9::9", "::1", "::"),
)


@pytest.mark.parametrize("ignore_broadcasts", [1, 0])
def test_ipv4_addresses(pair: Pair, ignore_broadcasts: int) -> None:
    set_both(pair.host, "ipv4.icmp_echo_ignore_broadcasts", ignore_broadcasts)
    assert_alike(pair, [[packet4(*pair_)] for pair_ in itertools.product(SOURCES4, DESTINATIONS4)])


@pytest.mark.parametrize("ignore_multicast", [0, 1])
def test_ipv6_addresses(pair: Pair, ignore_multicast: int) -> None:
    set_both(pair.host, "ipv6.icmp.echo_ignore_multicast", ignore_multicast)
    assert_alike(pair, [[packet6(*pair_)] for pair_ in itertools.product(SOURCES6, DESTINATIONS6)])


@pytest.mark.parametrize(
    "setting",
    ["none", "ipv4.icmp_echo_ignore_all", "ipv6.icmp.echo_ignore_all", "ipv4.icmp_echo_enable_probe"],
)
def test_every_type_and_some_codes(pair: Pair, setting: str) -> None:
    if setting != "none":
        set_both(pair.host, setting, 1)
    kinds4 = [kind for kind in range(256) if kind not in ERRORS4]
    kinds6 = [kind for kind in range(128, 256) if kind not in NOT_ANSWERS6]
    questions = [
        [packet4("10.9.0.2", "10.9.0.1", icmp(kind, code, bytes(12)))] for kind in kinds4 for code in (0, 1, 255)
    ]
    questions += [
        [packet6("2001:db8:9::2", "2001:db8:9::1", bytes([kind, code]) + bytes(14))]
        for kind in kinds6
        for code in (0, 1, 255)
    ]
    assert_alike(pair, questions)


def test_header_fields(pair: Pair) -> None:
    set_both(pair.host, "ipv4.ip_default_ttl", 77)
    fields4: list[dict[str, Any]] = [
        {"traffic_class": 0xB9},
        {"ttl": 1},
        {"dont_fragment": True},
        {"identification": 9},
        {"reserved": True},
    ]
    fields6: list[dict[str, Any]] = [{"traffic_class": 0xB9}, {"hop_limit": 1}, {"hop_limit": 0}, {"flow_label": 5}]
    questions = [[packet4("10.9.0.2", "10.9.0.1", **field)] for field in fields4]
    questions += [[packet6("2001:db8:9::2", "2001:db8:9::1", **field)] for field in fields6]
    assert_alike(pair, questions)


def test_lengths_checksums_and_padding(pair: Pair) -> None:
    whole4, whole6 = packet4("10.9.0.2", "10.9.0.1"), packet6("2001:db8:9::2", "2001:db8:9::1")
    questions = [[whole4[:cut]] for cut in range(20, 32)] + [[whole6[:cut]] for cut in range(40, 52)]
    questions += [[whole4 + b"padding"], [whole6 + b"padding"]]
    for whole in (whole4, whole6):
        questions += [[whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]] for at in range(8, len(whole))]
    questions += [[packet4("10.9.0.2", "10.9.0.1", with_checksum(b"\x08\0\0\0" + b"\1" * n))] for n in range(6)]
    questions += [[packet6("2001:db8:9::2", "2001:db8:9::1", b"\x80\0\0\0" + bytes(n))] for n in range(6)]
    questions += [[packet4("10.9.0.2", "10.9.0.1", icmp(13, rest=bytes(n)))] for n in range(16)]
    assert_alike(pair, questions)


RECORD_ROUTE = bytes([7, 11, 4]) + bytes(8)
TIMESTAMPS = [bytes([68, 20, 5, flag]) + bytes(16) for flag in (0, 1)]
PRESPECIFIED = bytes([68, 20, 5, 3]) + ip("10.9.0.1") + bytes(4) + ip("10.9.0.3") + bytes(4)
OPTIONS = [
    RECORD_ROUTE,
    bytes([1, *RECORD_ROUTE[:2], 8]) + ip("10.9.0.2") + bytes(4),
    bytes([7, 7, 8]) + ip("10.9.0.2"),
    bytes([7, 7, 5, 0, 0, 0, 0]),
    bytes([7, 3, 4]),
    bytes([7, 6, 4, 0, 0, 0]),
    bytes([7, 39, 4]) + bytes(36),
    RECORD_ROUTE + RECORD_ROUTE,
    *TIMESTAMPS,
    PRESPECIFIED,
    bytes([68, 4, 5, 0]),
    bytes([68, 4, 5, 0xF0]),
    bytes([68, 8, 9, 0x10]) + bytes(4),
    bytes([68, 12, 5, 2]) + bytes(8),
    bytes([68, 8, 5, 1]) + bytes(4),
    RECORD_ROUTE + TIMESTAMPS[0],
    TIMESTAMPS[1] + RECORD_ROUTE,
    bytes([131, 7, 8]) + ip("10.9.0.2"),
    bytes([131, 7, 8]) + ip("203.0.113.5"),
    bytes([131, 11, 12]) + ip("203.0.113.5") + ip("203.0.113.6"),
    bytes([137, 11, 12]) + ip("10.9.0.5") + ip("10.9.0.6"),
    bytes([131, 11, 12]) + ip("203.0.113.5") + ip("203.0.113.6") + RECORD_ROUTE,
    bytes([131, 7, 4]) + ip("203.0.113.5"),
    bytes([148, 4, 0, 0]),
    bytes([130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    bytes([99, 4, 1, 2]),
    bytes([99, 1]),
    bytes([1, 1, 1, 0]),
    bytes([0, 7, 7, 7]),
]


@pytest.mark.parametrize("accept_source_route", [0, 1])
def test_ipv4_options(pair: Pair, accept_source_route: int) -> None:
    set_both(pair.host, "ipv4.conf.all.accept_source_route", accept_source_route)
    set_both(pair.host, "ipv4.icmp_echo_ignore_broadcasts", 0)
    padded = [options + bytes(-len(options) % 4) for options in OPTIONS]
    assert_alike(
        pair,
        [
            [packet4("10.9.0.2", destination, options=options)]
            for options in padded
            for destination in ("10.9.0.1", "10.9.0.3", "224.0.0.1", "10.9.0.255")
        ],
    )


EXTENSIONS = [
    (kind, bytes(contents))
    for kind in (0, 60)
    for contents in (
        [1, 4, 0, 0, 0, 0],
        [0] * 6,
        [5, 2, 0, 0, 1, 0],
        [0x1E, 4, 1, 2, 3, 4],
        [0x5E, 4, 1, 2, 3, 4],
        [0x9E, 4, 1, 2, 3, 4],
        [0xDE, 4, 1, 2, 3, 4],
        [1, 9, 0, 0, 0, 0],
        [4, 1, 4, 1, 1, 0],
        [0xC2, 4, 0, 0, 0, 100],
        [0xC9, 4, 0, 0, 0, 0],
        [1, 4, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
    )
] + [(43, bytes([kind, left, 0, 0, 0, 0])) for kind in (0, 2, 3, 4, 77) for left in (0, 1)]


def with_extensions(destination: str, *extensions: tuple[int, bytes]) -> bytes:
    header = IPv6Header(ip("2001:db8:9::2"), ip(destination))
    message = packet6("2001:db8:9::2", destination)[40:]
    return build_ipv6(header, message, [ExtensionHeader(kind, b"\0\0" + contents) for kind, contents in extensions])


def test_ipv6_extension_headers(pair: Pair) -> None:
    questions = [[with_extensions(at, one)] for one in EXTENSIONS for at in ("2001:db8:9::1", "ff02::1")]
    some = [(0, bytes([1, 4, 0, 0, 0, 0])), (60, bytes([1, 4, 0, 0, 0, 0])), (43, bytes(6)), (44, bytes(6))]
    questions += [[with_extensions("2001:db8:9::1", *chain)] for chain in itertools.product(some, some)]
    assert_alike(pair, questions)


def test_fragments(pair: Pair) -> None:
    four = packet4("10.9.0.2", "10.9.0.1", icmp(8, rest=bytes(range(256)) * 12))
    six = packet6("2001:db8:9::2", "2001:db8:9::1", b"\x80\0\0\0\0\1\0\1" + bytes(range(256)) * 12)
    questions = []
    for number, pieces in enumerate((fragment_ipv4(four, 520), fragment_ipv6(six, 520, 1))):
        numbered = itertools.count(1 + number * 100)

        def fresh(some: list[bytes], version: int = number, numbers: Iterator[int] = numbered) -> list[bytes]:
            return [renumbered(piece, version, ident) for ident in [next(numbers)] for piece in some]

        questions += [fresh(order) for order in (pieces, pieces[::-1], pieces[::2] + pieces[1::2], pieces + pieces)]
        questions += [fresh(pieces[:gap] + pieces[gap + 1 :]) for gap in range(len(pieces))]
        questions += [fresh([*pieces[:2], shifted(pieces[1], number), *pieces[2:]])]
    assert_alike(pair, questions)


def renumbered(fragment: bytes, is_six: int, identification: int) -> bytes:
    if is_six:
        return fragment[:44] + identification.to_bytes(4, "big") + fragment[48:]
    header = fragment[:4] + identification.to_bytes(2, "big") + fragment[6:10] + b"\0\0" + fragment[12:20]
    checksum = with_checksum(header[:2] + b"\0\0" + header[2:10] + header[12:])[2:4]
    return header[:10] + checksum + header[12:] + fragment[20:]


def shifted(fragment: bytes, is_six: int) -> bytes:
    """The fragment again, eight bytes earlier: it overlaps two others."""
    at = 42 if is_six else 6
    word = int.from_bytes(fragment[at : at + 2], "big") - (8 if is_six else 1)
    return fragment[:at] + word.to_bytes(2, "big") + fragment[at + 2 :]


def identification(kind: int, name: bytes, length: int = 0) -> bytes:
    """An extension structure with one interface identification object."""
    return bytes([0x20, 0, 0, 0, 0, length or 4 + len(name), 3, kind]) + name


NAMES = (b"eth0", b"eth0".ljust(8, b"\0"), b"eth0".ljust(12, b"\0"), b"eth0".ljust(16, b"\0"), b"lo\0\0", b"eth9")
PROBES = [
    b"",
    bytes(4),
    identification(1, b""),
    *(identification(1, name) for name in NAMES),
    *(identification(2, bytes([0, 0, 0, index])) for index in (0, 1, 9)),
    identification(2, b"\0\1"),
    *(identification(3, b"\0\1\4\0" + ip(text)) for text in ("10.9.0.1", "127.0.0.1", "10.9.0.9")),
    *(identification(3, b"\0\2\x10\0" + ip(text)) for text in ("2001:db8:9::1", "::1", "2001:db8:9::9")),
    identification(3, b"\0\1\3\0" + ip("10.9.0.1")),
    identification(3, b"\0\x09\4\0" + ip("10.9.0.1")),
    identification(3, b"\0\1"),
    identification(9, bytes(4)),
    identification(1, b"eth0", length=40),
    identification(1, b"eth0more behind", length=8),
    bytes([0x20, 0, 0, 0, 0, 8, 9, 1]) + b"eth0",
]


@pytest.mark.parametrize("ignore_broadcasts", [0, 1])
@pytest.mark.parametrize("enabled", [0, 1])
def test_extended_echo(pair: Pair, enabled: int, ignore_broadcasts: int) -> None:
    set_both(pair.host, "ipv4.icmp_echo_enable_probe", enabled)
    set_both(pair.host, "ipv4.icmp_echo_ignore_broadcasts", ignore_broadcasts)
    questions = [[packet4("10.9.0.2", "10.9.0.1")]]
    for probe, tail in itertools.product(PROBES, (0x0101, 0x0100, 0x01FF)):
        questions += [
            [packet4("10.9.0.2", at, icmp(42, rest=probe, sequence=tail))]
            for at in ("10.9.0.1", "224.0.0.1", "10.9.0.255")
        ]
        message = b"\xa0\0\0\0\x12\x34" + tail.to_bytes(2, "big") + probe
        questions += [[packet6("2001:db8:9::2", at, message)] for at in ("2001:db8:9::1", "ff02::1")]
    assert_alike(pair, questions)


def test_tshark_finds_nothing_malformed_in_what_our_host_sends(pair: Pair, tmp_path: object) -> None:
    capture = f"{tmp_path}/capture.pcap"
    big4 = fragment_ipv4(packet4("10.9.0.2", "10.9.0.1", icmp(8, rest=bytes(4000))), 1500)
    big6 = fragment_ipv6(packet6("2001:db8:9::2", "2001:db8:9::1", b"\x80\0\0\0\0\1\0\1" + bytes(4000)), 1500, 5)
    asked = [packet4("10.9.0.2", "10.9.0.1"), packet6("2001:db8:9::2", "2001:db8:9::1"), *big4, *big6]
    asked += [packet4("10.9.0.2", "10.9.0.1", options=option + bytes(-len(option) % 4)) for option in OPTIONS]
    packets = pair.ours(asked)
    assert len(packets) > 15
    with open(capture, "wb") as file:
        file.write(b"\xa1\xb2\xc3\xd4\0\2\0\4" + bytes(8) + (65575).to_bytes(4, "big") + (101).to_bytes(4, "big"))
        for packet in packets:
            file.write(bytes(8) + len(packet).to_bytes(4, "big") * 2 + packet)
    assert len(tshark(capture, "icmp || icmpv6 || ip.flags.mf == 1 || ipv6.fraghdr")) == len(packets)
    assert tshark(capture, "_ws.malformed || _ws.expert.severity >= 6291456") == []


def tshark(capture: str, wish: str) -> list[str]:
    command = ["tshark", "-o", "ip.check_checksum:TRUE", "-r", capture, "-Y", wish]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
