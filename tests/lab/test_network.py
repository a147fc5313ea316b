from __future__ import annotations

import os
import socket
import time

import pytest

from lab.bench import ME, beside, path
from pingsock import lab
from pingsock.lab.prefixes import Prefix, PrefixTable, pack_address
from pingsock.link.cable import memory_cable

FAR = "192.0.2.1"


def test_without_delays_the_answer_is_there_when_send_returns() -> None:
    bench = path(3)
    bench.ping(FAR)
    assert [arrival.kind for arrival in bench.waiting()] == [(0, 0)]


def test_an_answer_may_be_answered_from_within() -> None:
    bench = path(2)
    seen = []

    def again(packet: bytes) -> None:
        seen.append(packet)
        if len(seen) < 5:
            bench.ping(FAR, len(seen))

    bench.near.on_packet = again
    bench.ping(FAR)
    assert len(seen) == 5


def test_next_event_tells_when_to_come_back() -> None:
    bench = path(1, delay=0.25)
    assert bench.network.next_event() is None
    bench.ping(FAR)
    assert bench.network.next_event() == 0.25
    bench.network.run_until(0.2)
    assert bench.waiting() == []
    bench.network.run_until(3.0)
    assert (len(bench.waiting()), bench.network.next_event(), bench.network.now) == (1, None, 3.0)


def test_time_does_not_run_backwards() -> None:
    bench = path(1, delay=0.25)
    bench.network.run_until(10.0)
    bench.network.run_until(5.0)
    bench.ping(FAR)
    assert bench.network.next_event() == 10.25


def test_a_memory_cable_can_bring_its_own_clock() -> None:
    network = lab.Network()
    network.host("far", FAR)
    near, far = memory_cable()
    now = 100.0
    network.attach(far, "far", ME, clock=lambda: now, delay=1.5)
    near.send(lab.Datagram(pack_address(ME), pack_address(FAR), 1, b"\x08" + bytes(7)).sealed().packet)
    assert network.now == 100.0
    assert network.next_event() == 101.5


def test_detaching_leaves_the_network_as_it_was() -> None:
    bench, far = beside()
    bench.network.detach(bench.attachment)
    bench.ping(FAR)
    bench.network.run_until(1.0)
    assert (bench.network.attachments, bench.network.links, far.interfaces) == ([], [], [])
    assert list(bench.network.nodes) == ["far"]


def test_nodes_are_linked_by_name() -> None:
    network = lab.Network()
    network.host("a")
    with pytest.raises(lab.LabError, match="there already is a node 'a'"):
        network.host("a")
    with pytest.raises(lab.LabError, match="there is no node 'b'; there is a"):
        network.link("a", "b")


@pytest.mark.parametrize(
    ("subnet", "ends"),
    [
        ("10.0.0.0/30", ("10.0.0.1/30", "10.0.0.2/30")),
        ("10.0.0.0/31", ("10.0.0.0/31", "10.0.0.1/31")),
        ("2001:db8::/127", ("2001:db8::/127", "2001:db8::1/127")),
        ("10.1.2.3/16", ("10.1.0.1/16", "10.1.0.2/16")),
    ],
)
def test_a_subnet_numbers_both_ends(subnet: str, ends: tuple[str, str]) -> None:
    network = lab.Network()
    network.host("a")
    network.host("b")
    link = network.link("a", "b", subnet)
    assert tuple(str(end.addresses[0]) for end in (link.left, link.right)) == ends


def test_a_subnet_needs_two_addresses() -> None:
    network = lab.Network()
    network.host("a")
    network.host("b")
    with pytest.raises(lab.LabError, match="has no room for the two ends"):
        network.link("a", "b", "10.0.0.1/32")


def test_parallel_links_have_interfaces_of_their_own() -> None:
    network = lab.Network()
    network.router("a")
    network.router("b")
    links = [network.link("a", "b") for _ in range(3)]
    assert [(link.left.name, link.left.index) for link in links] == [("b", 1), ("b.2", 2), ("b.3", 3)]


def test_a_route_needs_a_neighbour() -> None:
    bench = path(3)
    with pytest.raises(lab.LabError, match="r1 has no link to r3"):
        bench.network.node("r1").route("0.0.0.0/0", via="r3")
    with pytest.raises(lab.LabError, match="needs via or refuse"):
        bench.network.node("r1").route("0.0.0.0/0")
    with pytest.raises(lab.LabError, match="cannot refuse with 'sulk'"):
        bench.network.node("r1").route("0.0.0.0/0", refuse="sulk")


def test_the_longest_prefix_wins() -> None:
    table: PrefixTable[str] = PrefixTable()
    for text in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0"):
        table[Prefix.parse(text)] = text
    found = [table.get(pack_address(text)) for text in ("9.9.9.9", "10.9.9.9", "10.1.9.9", "10.1.2.3", "2001:db8::1")]
    assert found == ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0"]


def test_observers_see_every_packet_put_on_a_link() -> None:
    bench = path(1, delay=0.5)
    seen: list[tuple[float, str, str]] = []
    bench.network.observers.append(lambda now, sender, _packet: seen.append((now, sender.node.name, sender.name)))
    bench.ping(FAR)
    bench.until(2.0)
    assert seen == [(0.0, "cable1", "r1"), (0.0, "r1", "far"), (0.5, "far", "r1"), (1.0, "r1", "cable1")]


class SocketCable:
    """A cable with a descriptor: datagrams over a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        end.setblocking(False)

    def send(self, packet: bytes) -> None:
        self.end.send(packet)

    def receive(self) -> bytes | None:
        try:
            return self.end.recv(65536)
        except BlockingIOError:
            return None

    def fileno(self) -> int:
        return self.end.fileno()

    def close(self) -> None:
        self.end.close()


def echo_request(sequence: int) -> bytes:
    message = bytes([8, 0, 0, 0, 0, 7]) + sequence.to_bytes(2, "big")
    return lab.Datagram(pack_address(ME), pack_address(FAR), 1, message).sealed().packet


def test_a_poll_loop_can_own_a_network() -> None:
    network = lab.Network()
    network.host("far", FAR)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        network.attach(SocketCable(far), "far", ME, delay=0.25)
        driver = lab.Driver(network, lambda: 1000.0)
        assert driver.filenos() == [far.fileno()]
        near.send(echo_request(1))
        near.send(echo_request(2))
        driver.receive(far.fileno())
        assert driver.next_event() == 1000.25
        driver.run(1000.25)
        driver.run(1000.5)
        near.setblocking(False)
        assert [near.recv(2048)[26:28] for _ in range(2)] == [b"\0\1", b"\0\2"]


def test_a_cable_that_takes_nothing_costs_only_its_packets() -> None:
    network = lab.Network()
    network.host("far", FAR)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with far:
        attached = network.attach(SocketCable(far), "far", ME)
        with near:
            near.send(echo_request(1))
        attached.pump(0.0)
        network.run_until(1.0)
    assert sum(count for (node, _), count in network.drops.items() if node == attached.name) == 1


def test_a_thread_runs_a_network_in_real_time() -> None:
    network = lab.Network()
    far = network.host("far", FAR)
    near, end = memory_cable()
    network.attach(end, "far", ME, delay=0.02)
    read, write = os.pipe()

    def pass_on(packet: bytes) -> None:
        os.write(write, packet[26:28])

    near.on_packet = pass_on
    with lab.LabThread(network) as thread:
        begin = time.monotonic()
        near.send(echo_request(0x4142))
        assert os.read(read, 10) == b"AB"
        assert time.monotonic() - begin >= 0.04
        assert thread.do(lambda: far.name) == "far"
        with pytest.raises(lab.LabError):
            thread.do(lambda: far.configure(colour="red"))
    os.close(read)
    os.close(write)
    assert network.epoch > 1e9


def test_what_breaks_the_thread_is_raised_at_its_end() -> None:
    def broken(_case: lab.Case) -> None:
        raise RuntimeError("a rule of mine")

    bench, far = beside()
    far.rule(broken)

    def run_until_it_breaks() -> None:
        with lab.LabThread(bench.network) as thread:
            bench.near.send(echo_request(1))
            thread.join(10.0)

    with pytest.raises(RuntimeError, match="a rule of mine"):
        run_until_it_breaks()


def test_a_thread_makes_calls_while_its_block_lasts() -> None:
    thread = lab.LabThread(lab.Network())
    with pytest.raises(RuntimeError, match="not running"):
        thread.do(list)
    with thread:
        assert thread.do(list) == []
    with pytest.raises(RuntimeError, match="not running"):
        thread.do(list)


def test_a_lab_has_only_its_public_names() -> None:
    assert all(getattr(lab, name) is not None for name in dir(lab))
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        getattr(lab, "Nonsense")  # noqa: B009 - the name is not there
