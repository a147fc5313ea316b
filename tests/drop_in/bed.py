"""A network of rooms: a client in which ping programs run, a router, a server, and a lab of odd hosts.

    client 10.77.1.2 far ---  10.77.1.1 router 10.77.2.1  -(MTU 1400)-  10.77.2.2 server
           fd77:1::2          fd77:1::1        fd77:2::1                fd77:2::2
           10.78.0.1 odd ---  10.78.0.2 gate ... `odd_hosts`
           fd78::1            fd78::2

The router rejects what goes to 10.77.3.N and fd77:3::N, N being an index of `bed.refusals.REJECTIONS`, and swallows
the rest of these networks. The client itself calls 10.77.7.0/24 unreachable, prohibits 10.77.8.0/24 and swallows
10.77.9.0/24, likewise fd77:7:: to fd77:9::; its firewall drops what it sends to 10.77.6.1 and
fd77:6::1. Nobody is 10.77.1.9.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bed.refusals import BAD_ROUTES, rejecting_rules
from drop_in.capture import Capture
from drop_in.odd_hosts import CLIENT, GATE, odd_network
from drop_in.rooms import Room, write_settings
from pingsock import lab

HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost
10.77.2.2 server.test server
fd77:2::2 server6.test
10.77.1.1 router.test
fd77:1::1 router6.test
10.77.7.1 both.test
10.77.2.2 both.test
10.78.0.2 gate.test
fd78::2 gate6.test
10.78.1.1 plain.test
fd78:1::1 plain6.test
10.78.3.1 far-behind.test
10.78.1.10 elsewhere.test
"""
FILES = {
    "hosts": HOSTS,
    # Nobody listens there, so a name that is not in the table fails at once.
    "resolv.conf": "nameserver 127.0.0.1\n",
    "nsswitch.conf": "hosts: files dns\n",
}
OPEN, CLOSED = "0 2147483647", "1 0"
_GROUP_RANGE = "net/ipv4/ping_group_range"
_IN_EVERY_ROOM = {
    # Else a new address cannot be used for a second.
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/icmp_msgs_per_sec": "100000",
    # Broadcasts to the link are answered, which iputils' -b needs.
    "net/ipv4/icmp_echo_ignore_broadcasts": "0",
}
_NO_REVERSE_PATH_CHECK = {"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"}
_FORWARDING = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


class Bed:
    """The rooms, the lab, and what the client sends; close it."""

    def __init__(self, directory: Path) -> None:
        self._cleanup = ExitStack()
        try:
            self._make(directory)
        except BaseException:
            self.close()
            raise

    def _make(self, directory: Path) -> None:
        files = {f"/etc/{name}": directory / name for name in FILES}
        self.client, self.router, self.server = (
            self._room(name, files if name == "client" else {}) for name in ("client", "router", "server")
        )
        self._connect()
        self._reject()
        self.client.do(self._open_lab)
        self.capture = self.client.do(Capture)
        self._cleanup.callback(self.capture.close)
        self.client.do(lambda: self.prepare(OPEN))
        # Neighbours are looked for once, here, so that no first reply is late.
        for address in ("10.77.2.2", "fd77:2::2"):
            self.client.run("/usr/bin/ping", "-q", "-c", "1", "-w", "10", address)

    def _room(self, name: str, files: dict[str, Path]) -> Room:
        room = Room(name, files)
        self._cleanup.callback(room.close)
        room.set(_IN_EVERY_ROOM)
        return room

    def _connect(self) -> None:
        _cable(self.client, self.router, 1500, ("10.77.1.2/24", "fd77:1::2/64"), ("10.77.1.1/24", "fd77:1::1/64"))
        _cable(self.router, self.server, 1400, ("10.77.2.1/24", "fd77:2::1/64"), ("10.77.2.2/24", "fd77:2::2/64"))
        self.router.set(_FORWARDING)
        self.client.set(_NO_REVERSE_PATH_CHECK)
        for room, network, gateway in ((self.client, 1, 1), (self.router, 2, 2), (self.server, 2, 1)):
            room.ip(
                f"route add default via 10.77.{network}.{gateway}\n"
                f"-6 route add default via fd77:{network}::{gateway}\n".replace("-6 route", "route")
            )
        self.client.ip(
            "".join(
                f"route add {kind} 10.77.{number}.0/24\nroute add {kind} fd77:{number}::/64\n"
                for number, kind in BAD_ROUTES.items()
            )
        )

    def _reject(self) -> None:
        _firewall(self.router, "forward", rejecting_rules())
        _firewall(self.client, "output", ["ip daddr 10.77.6.1 drop;", "ip6 daddr fd77:6::1 drop;"])

    def _open_lab(self) -> None:
        opened = lab.kernel_lab(odd_network(), "gate", *CLIENT, right_addresses=GATE, device="odd")
        self._cleanup.enter_context(opened)

    def prepare(self, group_range: str) -> None:
        """Forget what earlier runs taught the client's kernel, and allow ping sockets or not. In the client only."""
        write_settings({_GROUP_RANGE: group_range, "net/ipv4/route/flush": "1", "net/ipv6/route/flush": "1"})
        self.capture.packets()

    def close(self) -> None:
        self._cleanup.close()


def write_files(directory: Path) -> None:
    """What programs in the client read in /etc."""
    for name, text in FILES.items():
        (directory / name).write_text(text)


def _cable(left: Room, right: Room, mtu: int, of_left: tuple[str, ...], of_right: tuple[str, ...]) -> None:
    right.ip(f"link add near mtu {mtu} type veth peer name far mtu {mtu} netns {left.identity}")
    for room, device, addresses in ((left, "far", of_left), (right, "near", of_right)):
        # So that link-local addresses are the same in every bed.
        hardware = f"02:00:00:00:{mtu % 251:02x}:{len(device):02x}"
        room.ip(f"link set {device} address {hardware}\n")
        room.ip("".join(f"address add {address} dev {device}\n" for address in addresses) + f"link set {device} up\n")


def _firewall(room: Room, hook: str, rules: list[str]) -> None:
    chain = f"chain {hook} {{ type filter hook {hook} priority 0; {' '.join(rules)} }}"
    room.run("nft", "-f", "-", given=f"table inet bed {{ {chain}\n}}")
