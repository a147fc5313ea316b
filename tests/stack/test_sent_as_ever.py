"""Whatever is done to a socket and its host: with what it remembers of its last packet it sends as it would without."""

from __future__ import annotations

import struct
from errno import ENETUNREACH, ENODEV
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pingsock.stack.options import INTEGER_OPTIONS
from pingsock.stack.policy import Credentials
from pingsock.stack.sockaddr import pack_in, pack_in6
from pingsock.stack.sockopt_set import SETTERS
from pingsock.stack.stack import Stack
from pingsock.wire import linux
from pingsock.wire.linux import AF_INET, AF_INET6, MSG_DONTROUTE, MSG_DONTWAIT, SOL_IP, SOL_IPV6, SOL_SOCKET
from pingsock.wire.transit import BROADCAST, LOCAL, MULTICAST, UNICAST, Outbound, Route
from pingsock.wire.value import Value
from stack.quiet import FAR, HOST, HOST6, SYSCTLS, error_about

if TYPE_CHECKING:
    from collections.abc import Callable

    from pingsock.stack.endpoint import Endpoint

GROUP, ALL = bytes((224, 0, 0, 9)), bytes((10, 9, 0, 255))
FAR6, NEAR6, GROUP6 = (
    bytes.fromhex(each) for each in ("20010db8" + "0" * 23 + "9", "fe80" + "0" * 27 + "9", "ff02" + "0" * 27 + "9")
)
KINDS = {HOST: LOCAL, HOST6: LOCAL, GROUP: MULTICAST, GROUP6: MULTICAST, ALL: BROADCAST}
NAMES = {
    AF_INET: [pack_in(address, 7) for address in (FAR, GROUP, ALL, HOST, bytes(4))],
    AF_INET6: [
        pack_in6(address, 7, flow, scope)
        for address in (FAR6, NEAR6, GROUP6, HOST6, bytes(16))
        for flow, scope in ((0, 0), (5, 2))
    ],
}
OWN_NAMES = {
    AF_INET: [pack_in(address, 77) for address in (bytes(4), HOST, FAR)],
    AF_INET6: [pack_in6(address, 77) for address in (bytes(16), HOST6, FAR6)],
}
REQUESTS = {AF_INET: 8, AF_INET6: 128}
OPTIONS = sorted({*INTEGER_OPTIONS, *((level, option) for level, row in SETTERS.items() for option in row)})
ITEMS = {
    AF_INET: [(), ((SOL_IP, linux.IP_TTL, struct.pack("=i", 5)),), ((SOL_IP, linux.IP_TOS, b"\x10"),)],
    AF_INET6: [(), ((SOL_IPV6, linux.IPV6_HOPLIMIT, struct.pack("=i", 5)),), ((SOL_SOCKET, linux.SO_MARK, bytes(4)),)],
}


class RememberingHost:
    """Gives the same route until something changes, and changes its settings only then: see `Network.route`."""

    def __init__(self) -> None:
        self.sent: list[Outbound] = []
        self.state = 0
        self._routes: dict[object, Route] = {}

    def change(self) -> None:
        self.state += 1
        self._routes.clear()

    def route(self, family: int, destination: bytes, **how: Any) -> Route:
        if self.state % 7 == 6:
            raise OSError(ENETUNREACH, "")
        key = (destination, *sorted(how.items()))
        return self._routes.setdefault(key, self._route(family, destination, **how))

    def _route(self, family: int, destination: bytes, source: bytes = b"", interface: int = 0, **how: Any) -> Route:
        path_mtu = 700 if how.get("dont_route") else (1500, 1400, 576, 1300)[self.state % 4]
        own = HOST[:3] + bytes((self.state % 3 + 1,)) if family == AF_INET else HOST6
        return Route(
            KINDS.get(destination, UNICAST), source or own, interface or 2, 1500, path_mtu, self.state % 5 == 4
        )

    def address_kind(self, _family: int, address: bytes, _interface: int = 0) -> int:
        return KINDS.get(address, UNICAST)

    def interface_name(self, index: int) -> str:
        return self._known(index)

    def interface_index(self, name: str) -> int:
        raise OSError(ENODEV, name)

    def _known(self, index: int) -> str:
        if index not in (1, 2, 5):
            raise OSError(ENODEV, "")
        return f"d{index}"

    def interface_with(self, _family: int, address: bytes) -> int:
        return 2 if KINDS.get(address) == LOCAL else 0

    def join_group(self, _family: int, _group: bytes, _interface: int) -> None: ...
    def leave_group(self, _family: int, _group: bytes, _interface: int) -> None: ...
    def learn_path_mtu(self, _family: int, _destination: bytes, _mtu: int) -> None:
        self.change()

    def sysctl(self, name: str) -> int:
        if name in ("ipv4.ip_default_ttl", "ipv6.conf.all.hop_limit"):
            return 64 + self.state
        return self.state % 3 // 2 if name.endswith("ip_nonlocal_bind") else SYSCTLS.get(name, 0)

    def transmit(self, packet: Outbound) -> None:
        self.sent.append(packet)


class World:
    """A socket on a host of its own."""

    def __init__(self, family: int, *, remembers: bool) -> None:
        self.host = RememberingHost()
        self.stack = Stack(self.host, lambda limit: limit // 3)  # type: ignore[arg-type]
        protocol = linux.IPPROTO_ICMP if family == AF_INET else linux.IPPROTO_ICMPV6
        self.endpoint = self.stack.socket(family, linux.SOCK_DGRAM, protocol, Credentials(0, 0, capable=True))
        self.remembers = remembers

    def do(self, step: Callable[[World], object]) -> object:
        """What comes of it: a result or an errno."""
        if not self.remembers:
            self.endpoint.sent = None
        try:
            return step(self)
        except OSError as error:
            return "errno", error.errno


Step = tuple[str, "Callable[[World], object]"]


def on_socket(name: str, call: Callable[[Endpoint], object]) -> Step:
    return name, lambda world: call(world.endpoint)


class Send(Value):
    """The arguments of sendmsg."""

    to: bytes | None
    size: int
    flags: int
    items: tuple[tuple[int, int, bytes], ...]

    def __call__(self, world: World) -> int:
        message = struct.pack(">BBHHH", REQUESTS[world.endpoint.family], 0, 0, 0, 1) + bytes(self.size)
        return world.endpoint.sendmsg(message, self.to, self.items, self.flags)


def sends(family: int) -> st.SearchStrategy[list[Send]]:
    """One, and others that differ from it in one thing."""
    values = {
        "to": st.one_of(st.none(), st.sampled_from(NAMES[family])),
        "size": st.sampled_from([8, 900, 1440, 3000]),
        "flags": st.sampled_from([0, MSG_DONTROUTE, linux.MSG_PROBE, linux.MSG_CONFIRM]),
        "items": st.sampled_from(ITEMS[family]),
    }
    usually = st.sampled_from([NAMES[family][0]] * 4 + NAMES[family] + [None])
    usual = st.builds(Send, usually, st.sampled_from([8, 1440]), st.just(0), st.just(()))
    changes = st.lists(st.one_of([st.tuples(st.just(name), value) for name, value in values.items()]), max_size=3)
    return st.builds(
        lambda one, each: [one] * 4 + [one.replace(**{name: value}) for name, value in each], usual, changes
    )


def settings_of(_family: int) -> st.SearchStrategy[Step]:
    def step(key: tuple[int, int], value: int, times: int) -> Step:
        content = struct.pack("=i", value) * times
        return on_socket(f"set {key} {content!r}", lambda endpoint: endpoint.setsockopt(*key, content))

    values = st.sampled_from([0, 1, 2, 5, 255, -1, 1 << 25])
    return st.builds(step, st.sampled_from(OPTIONS), values, st.sampled_from([1, 1, 3, 4]))


def names_of(family: int) -> st.SearchStrategy[Step]:
    def connect(name: bytes) -> Step:
        return on_socket(f"connect {name!r}", lambda endpoint: endpoint.connect(name))

    def bind(name: bytes) -> Step:
        return on_socket(f"bind {name!r}", lambda endpoint: endpoint.bind(name))

    nowhere = bytes(16)
    return st.one_of(
        st.builds(connect, st.sampled_from([*NAMES[family], nowhere])),
        st.builds(bind, st.sampled_from(OWN_NAMES[family])),
    )


OTHERS: list[Step] = [
    ("change", lambda world: world.host.change()),
    ("error", lambda world: world.stack.deliver_untrusted(error_about(8, world.endpoint.ident), 2, 1)),
    ("too big", lambda world: world.stack.deliver_untrusted(error_about(8, world.endpoint.ident, code=4), 2, 1)),
    on_socket("SO_ERROR", lambda endpoint: endpoint.take_pending_error()),
    on_socket("receive", lambda endpoint: endpoint.recvmsg(100, 100, MSG_DONTWAIT, 1)),
    on_socket("shutdown", lambda endpoint: endpoint.shutdown(0)),
]


def between(family: int) -> st.SearchStrategy[Step]:
    """What may happen between two packets."""
    nothing = st.just(on_socket("nothing", lambda endpoint: None))
    happens = [nothing, nothing, settings_of(family), names_of(family), st.sampled_from(OTHERS)]
    return st.sampled_from(range(len(happens))).flatmap(happens.__getitem__)


@settings(max_examples=300)
@given(st.data(), st.sampled_from([AF_INET, AF_INET6]))
def test_what_is_remembered_changes_nothing(data: st.DataObject, family: int) -> None:
    worlds = World(family, remembers=True), World(family, remembers=False)
    messages = data.draw(sends(family))
    for name, step in data.draw(st.lists(between(family), min_size=5, max_size=20)):
        message = data.draw(st.sampled_from(messages))
        for each in (step, message):
            first, second = (world.do(each) for world in worlds)
            assert first == second, (name, message)
        assert worlds[0].host.sent == worlds[1].host.sent, (name, message)
