"""One ping socket of the kernel's at work: what its receive buffer holds, and what fails a send."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

import pytest

from bed.namespace import NoNamespace, entered
from pingsock import lab
from pingsock.probe.blocking import BlockingProber
from pingsock.probe.channel import Channel
from pingsock.probe.clock import MILLISECOND, SECOND, Stepwatch, read_clocks
from pingsock.probe.flow import Flow, charge
from pingsock.probe.ledger import Ledger
from pingsock.probe.prober import Prober
from pingsock.probe.records import (
    BETWEEN_KERNEL_STAMPS,
    Duplicate,
    EchoReply,
    Late,
    Record,
    Reply,
    Stray,
    Summary,
    Timeout,
)
from pingsock.probe.schedule import Plan
from pingsock.probe.target import ProbeOptions
from pingsock.sockets.choose import open_ping_socket
from pingsock.wire import linux
from probe.lab_bench import Bench, target_at
from tools.fake_socket import TARGET, Clock, FakeSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

MINE, GATE = ["10.0.0.1/24"], ["10.0.0.2/24"]


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    try:
        with entered():
            # In a namespace of one's own only; the initial one keeps what it has.
            with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
                file.write(f"{os.getegid()} {os.getegid()}")
            yield
    except (NoNamespace, OSError) as err:
        pytest.skip(f"no namespace with ping sockets: {err}")


def network() -> lab.Network:
    made = lab.Network(seed=1)
    made.router("r1", "10.255.0.1")
    made.host("far", "192.0.2.0/24")
    made.link("r1", "far", "10.0.1.0/24", delay=0.005)
    far = made.node("far")
    far.rule({"do": "error", "fault": "host unreachable"}, destination="192.0.2.1")
    far.rule("drop", destination="192.0.2.2")
    far.rule({"do": "duplicate", "copies": 1}, destination="192.0.2.3")
    return made


def test_a_stamp_is_charged_no_more_than_is_reckoned() -> None:
    with open_ping_socket(socket.AF_INET, kinds=("kernel",)) as sock:
        stepwatch = Stepwatch()
        channel = Channel(sock, Ledger(2, stepwatch, b""), stepwatch, lambda _: None, 56)
        flow = Flow(target_at("127.0.0.1"), bytes(56))
        for sequence in range(10):
            assert channel.send(flow, sequence, flow.payload) == 0
        held = struct.unpack("9I", sock.getsockopt(linux.SOL_SOCKET, linux.SO_MEMINFO, 36))[0]
        assert held <= 10 * (charge(56) + charge(0))
        assert channel.reserve(1, 56, 64) == channel.reserve(1, 56) - 64


def test_an_error_that_found_no_room_fails_no_probe_to_somebody_else() -> None:
    with (
        lab.kernel_lab(network(), "r1", *MINE, right_addresses=GATE) as thread,
        open_ping_socket(socket.AF_INET, kinds=("kernel",)) as sock,
    ):
        stepwatch = Stepwatch()
        channel = Channel(sock, Ledger(2, stepwatch, b""), stepwatch, lambda _: None, 56)
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_RCVBUF, 2304)
        loop, unreachable = (Flow(target_at(address), bytes(56)) for address in ("127.0.0.1", "192.0.2.1"))
        for sequence in range(20):
            assert channel.send(loop, sequence, loop.payload) == 0
        assert channel.send(unreachable, 20, unreachable.payload) == 0
        while sock.getsockopt(linux.SOL_SOCKET, linux.SO_ERROR) == 0:
            # Reading the option takes the error away: the next one is for the channel.
            pass
        assert channel.send(unreachable, 21, unreachable.payload) == 0
        wait_for_errors(thread, 2)
        assert channel.send(loop, 22, loop.payload) == 0


def wait_for_errors(thread: lab.LabThread, count: int) -> None:
    """Until that many errors have gone out, and the kernel has had them."""
    with open("/proc/self/net/snmp") as file:
        while True:
            file.seek(0)
            names, numbers = (line.split() for line in file.read().splitlines() if line.startswith("Icmp:"))
            if int(numbers[names.index("InDestUnreachs")]) >= count:
                return
            thread.do(lambda: None)


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"])
def test_kernel_sockets_tell_what_served_ones_tell(address: str) -> None:
    plan = Plan(count=3, interval_ns=20 * MILLISECOND, timeout_ns=200 * MILLISECOND)
    with (
        lab.kernel_lab(network(), "r1", *MINE, right_addresses=GATE),
        BlockingProber(kinds=("kernel",)) as prober,
    ):
        prober.engine.add(prober.course(target_at(address), plan), 0)
        by_kernel = [shape(record) for _, record in prober.happenings() if not is_last_duplicate(record, plan)]
    with Bench(network(), "r1", *MINE) as bench:
        bench.add(address, plan)
        by_us = [shape(record) for record in bench.run() if not is_last_duplicate(record, plan)]
    assert sorted(map(str, by_kernel)) == sorted(map(str, by_us))


def is_last_duplicate(record: Record | Stray | Summary, plan: Plan) -> bool:
    """What is told of it depends on whether it came before everything was over."""
    return isinstance(record, Duplicate) and record.number == plan.count


def shape(record: Record | Stray | Summary) -> object:
    """All of a record but its times, and what a socket chooses by itself."""
    if isinstance(record, Summary):
        return record.statistics.as_dict()["sent"], record.statistics.as_dict()["lost"]
    told = {"kind": type(record).__name__, **record.as_dict()}
    for field in ("sent", "round_trip_ns", "timed", "message", "waited_ns"):
        told.pop(field, None)
    if isinstance(record, EchoReply):
        told["length"] = len(record.message)
    return told


def test_large_probes_have_sockets_of_their_own_so_that_small_ones_keep_their_room() -> None:
    def settings(size: int) -> object:
        return Flow(target_at("192.0.2.1", options=ProbeOptions(size=size)), b"").settings

    assert settings(56) == settings(0) == settings(100)
    assert len({settings(size) for size in (100, 600, 1400, 2800, 65507)}) == 5


class ScriptedSocket:
    """A socket that receives what a test says, in that order: an OSError is raised."""

    family = socket.AF_INET

    def __init__(self, replies: list[Any], queue: list[Any]) -> None:
        self.replies, self.queue = replies, queue
        self.order: list[str] = []

    def setblocking(self, _: bool) -> None: ...

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        return linux.SOF_TIMESTAMPING_OPT_ID

    def sendto(self, message: bytes, _: object) -> int:
        return len(message)

    def recvmsg(self, _size: int, _control: int, flags: int) -> Any:
        is_queue = bool(flags & linux.MSG_ERRQUEUE)
        left = self.queue if is_queue else self.replies
        self.order.append("queue" if is_queue else "replies")
        content = left.pop(0) if left else BlockingIOError(errno.EAGAIN, "nothing")
        if isinstance(content, OSError):
            raise content
        return content


def scripted(replies: int, *failures_after: int) -> tuple[ScriptedSocket, Channel, list[Any]]:
    """A channel that sent so many probes; each has its stamp in the queue and is answered a microsecond later."""
    stepwatch = Stepwatch()
    heard: list[Any] = []
    now, calendar = read_clocks()
    stepwatch.show(now, calendar)
    sock = ScriptedSocket([], [])
    ledger = Ledger(linux.AF_INET, stepwatch, b"")
    channel = Channel(cast("Any", sock), ledger, stepwatch, heard.append, 56)
    flow = Flow(target_at("192.0.2.1"), bytes(56))
    for sequence in range(replies):
        assert channel.send(flow, sequence, flow.payload) == 0
        ledger.sent(sequence, flow, 1, channel.last_sent_at, SECOND, SECOND)
        left = calendar + channel.last_sent_at - now + 1000
        sock.queue.append((b"", [stamp_item(left), transmit_item(sequence)], 0, None))
        message = struct.pack("!BBHHH", 0, 0, 0, 7, sequence) + flow.payload
        sock.replies.append((message, [stamp_item(left + 1000), HOP_LIMIT], 0, ("192.0.2.1", 0)))
    for at in failures_after:
        sock.replies.insert(at, ConnectionRefusedError(errno.ECONNREFUSED, "an ICMP error"))
    return sock, channel, heard


HOP_LIMIT = (linux.SOL_IP, linux.IP_TTL, struct.pack("=i", 64))


def stamp_item(nanoseconds: int) -> tuple[int, int, bytes]:
    seconds, rest = divmod(nanoseconds, SECOND)
    return linux.SOL_SOCKET, linux.SO_TIMESTAMPING, struct.pack("=6q", seconds, rest, 0, 0, 0, 0)


def transmit_item(key: int) -> tuple[int, int, bytes]:
    content = struct.pack("=IBBBxII", errno.ENOMSG, linux.SO_EE_ORIGIN_TIMESTAMPING, 0, 0, linux.SCM_TSTAMP_SND, key)
    return linux.SOL_IP, linux.IP_RECVERR, content + bytes(16)


def test_no_reply_is_heard_before_the_stamp_of_its_probe_was_read() -> None:
    sock, channel, heard = scripted(20)
    assert channel.collect()
    assert sock.order.index("queue") == 20
    assert [(reply.sequence, reply.round_trip_ns, reply.timed) for reply in heard] == [
        (sequence, 1000, BETWEEN_KERNEL_STAMPS) for sequence in range(20)
    ]


def test_nothing_is_read_in_vain_once_all_is_there_that_is_waited_for() -> None:
    sock, channel, heard = scripted(20)
    sock.replies.append(sock.replies[3])
    assert channel.collect()
    assert sock.order == ["replies"] * 20 + ["queue"] * 20
    assert channel.collect()
    assert [type(record) for record in heard] == [Reply] * 20 + [Duplicate]


def test_as_long_as_a_reply_is_missing_all_is_read() -> None:
    sock, channel, heard = scripted(20)
    sock.replies[19] = sock.replies[3]
    assert channel.collect()
    assert sock.order == ["replies"] * 20 + ["queue"] * 20 + ["replies", "queue"]
    assert [type(record) for record in heard] == [Reply] * 19 + [Duplicate]


def test_stamps_read_at_once_are_not_asked_for_again() -> None:
    sock, channel, heard = scripted(1)
    channel.collect_stamps()
    channel.collect()
    assert sock.order == ["queue", "replies"]
    assert heard[0].timed == BETWEEN_KERNEL_STAMPS


def test_a_socket_without_stamps_is_not_asked_for_them() -> None:
    sock, channel, _ = scripted(1)
    channel._has_stamps = False
    channel.collect_stamps()
    assert sock.order == []


def test_a_full_send_buffer_is_asked_once_since_no_icmp_error_looks_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sock, channel, _ = scripted(0)
    refusals = iter([errno.EAGAIN, errno.ENOBUFS, errno.ENOBUFS])

    def refuse(_message: bytes, _address: object) -> int:
        raise OSError(next(refusals), "no room")

    monkeypatch.setattr(sock, "sendto", refuse)
    flow = Flow(target_at("192.0.2.1"), bytes(56))
    assert channel.send(flow, 0, flow.payload) == errno.EAGAIN
    assert sock.order == []
    assert channel.send(flow, 0, flow.payload) == errno.ENOBUFS
    assert next(refusals, None) is None


def test_an_error_among_replies_hides_none_of_them() -> None:
    _, channel, heard = scripted(20, 0, 7, 7)
    assert channel.collect()
    assert [reply.sequence for reply in heard] == list(range(20))


def test_very_much_is_read_in_several_turns() -> None:
    _, channel, heard = scripted(600)
    turns = 1
    while not channel.collect():
        turns += 1
    assert turns == 3
    assert [reply.sequence for reply in heard] == list(range(600))


def test_strays_before_a_reply_cost_no_more_turns_than_replies_would() -> None:
    sock, channel, heard = scripted(1)
    reply = sock.replies.pop()
    sock.replies += [(struct.pack("!BBHHH", 0, 0, 0, 7, 9), *reply[1:])] * 255 + [reply]
    assert channel.collect()
    assert [type(record) for record in heard] == [Stray] * 255 + [Reply]


def test_what_came_beside_a_reply_can_be_asked_while_it_is_heard() -> None:
    sock, channel, _ = scripted(1)
    sock.replies[0][1].append((linux.SOL_IP, linux.IP_RETOPTS, b"\x01\x00"))
    beside: list[Any] = []
    channel._hear = lambda _: beside.append(channel.beside)
    assert channel.beside is None
    channel.collect()
    assert (beside[0].hop_limit, beside[0].return_options) == (64, b"\x01\x00")


def test_a_failure_of_the_queue_itself_is_not_hidden() -> None:
    sock, channel, _ = scripted(0)
    sock.queue.append(OSError(errno.EBADF, "closed"))
    with pytest.raises(OSError, match=r"\[Errno 9\]"):
        channel.collect()


def test_what_is_left_unread_is_that_of_its_probe_however_long_nobody_looked() -> None:
    """A late reply behind the only one that is waited for, read when its window has long been over."""
    clock = Clock()
    sock = FakeSocket(clock)
    sock.on_send = lambda sequence: sock.reply(sequence, (100 if sequence else 1700) * MILLISECOND)
    prober = Prober(
        open_socket=lambda _family, **_: cast("Any", sock),
        clock=clock.now,
        clocks=lambda: (clock.now(), clock.calendar()),
    )
    begin = clock.now()
    prober.engine.add(prober.course(target_at(TARGET), Plan(count=2, interval_ns=1500 * MILLISECOND)), begin)
    told = []
    for at in (0, 3, 1003, 1510, 10_000, 10_000):
        clock.monotonic = begin + at * MILLISECOND
        sock._messages.sort(key=lambda message: message[0])
        prober.turn([lane for lane in prober.channels if sock.next_arrival() <= clock.now()])
        told += [type(record) for _, record in prober.engine.take()]
    assert told == [Timeout, Reply, Summary, Late]
