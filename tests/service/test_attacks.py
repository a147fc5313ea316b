"""Clients that lie, flood, stall and die. Others' pings go on meanwhile, without a lost reply."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bed.bed import errno_of
from bed.child import Credentials
from bed.running import SERVICE_USER, RunningService, as_somebody, running_service
from pingsock.service import frames
from pingsock.service.client import ServiceConnection
from pingsock.service.frames import Message, Request, parse_answer_untrusted
from pingsock.service.peer import MOST_INSTRUCTIONS
from pingsock.sockets.served import ServedPingSocket
from pingsock.stack.sockaddr import pack_in
from pingsock.wire import linux
from sockets_unit.private import RANGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("users")

MALLORY, BOB = Credentials(1666, 1666), Credentials(1002, 1002)
CONFIGURATION = """
[access]
group_range = "0 4294967294"
[permit]
hand_over = false
owner_exclusive_idents = true
[quota]
sockets = 40
[audit]
refusals_per_minute = 5
"""
ECHO = bytes((8, 0)) + bytes(14)
HERE = ("127.0.0.1", 0)
OPEN = Request(frames.OPEN, 2, 2, 1).to_bytes()
TO_HERE = Message(ECHO, address=pack_in(bytes((127, 0, 0, 1))))
SEND = Request(frames.SEND, body=TO_HERE.to_bytes()).to_bytes()
# As the kernel has it, a socket that is connected to port 0 has no peer's name.
CONNECT = Request(frames.CONNECT, body=pack_in(bytes((127, 0, 0, 1)), 7)).to_bytes()
JOIN = Request(frames.SETSOCKOPT, 0, 35, body=struct.pack("=4s4si", bytes((224, 0, 0, 9)), bytes(4), 1)).to_bytes()
BORROW = Request(frames.BORROW, socket.AF_INET).to_bytes()
RECEIVE = Request(frames.RECEIVE, linux.MSG_DONTWAIT, 2048, 512, frames.count_to_bytes(8)).to_bytes()


@pytest.fixture(scope="module")
def running(users: None) -> Iterator[RunningService]:
    with running_service(CONFIGURATION, descriptors=1024) as service:
        yield service


class Bystander(threading.Thread):
    """Pings all the time, as somebody else."""

    def __init__(self, service: RunningService) -> None:
        super().__init__()
        self._sock = ServedPingSocket(socket.AF_INET, service.connect(BOB))
        self._sock.settimeout(10)
        self._over = threading.Event()
        self.sent = self.received = 0

    def run(self) -> None:
        with self._sock, contextlib.suppress(OSError):
            while not self._over.is_set() or self.sent < 20:
                token = os.urandom(8)
                self._sock.sendto(bytes((8, 0)) + bytes(6) + token, HERE)
                self.sent += 1
                assert self._sock.recv(100)[8:] == token
                self.received += 1

    def finish(self) -> None:
        self._over.set()
        self.join(60)
        assert self.received == self.sent >= 20


@pytest.fixture
def service(running: RunningService) -> Iterator[RunningService]:
    with attacked(running):
        yield running


@contextlib.contextmanager
def attacked(running: RunningService) -> Iterator[None]:
    """Afterwards everything is as it was."""
    running.settled(0)
    descriptors = running.descriptors()
    bystander = Bystander(running)
    bystander.start()
    yield
    bystander.finish()
    running.settled(0)
    status = running.status()
    assert (status["idents"], status["queued_bytes"], status["handed_over"]) == (0, 0, 0)
    assert running.descriptors() <= descriptors + 1
    assert "Error" not in running.log


@pytest.fixture
def channel(service: RunningService) -> Iterator[socket.socket]:
    """A connection of somebody who need not keep to anything."""
    with attacker(service) as channel:
        yield channel


def attacker(service: RunningService, who: Credentials = MALLORY) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(10)
    with as_somebody(who):
        channel.connect(service.path)
    return channel


def opened(channel: socket.socket) -> socket.socket:
    """The socket is open; the readiness channel."""
    channel.send(OPEN)
    frame, descriptors, _, _ = socket.recv_fds(channel, 4096, 4)
    assert parse_answer_untrusted(frame).errno == 0
    return socket.socket(fileno=descriptors[0])


def is_over(channel: socket.socket) -> bool:
    """Whether the server ends the connection."""
    with contextlib.suppress(ConnectionResetError):
        while channel.recv(frames.MAXIMUM_FRAME):
            pass
    return True


CUT = TO_HERE.to_bytes()
MALFORMED = {
    "empty": b"",
    "one byte": b"\1",
    "short of a header": OPEN[:-1],
    "unknown operation": bytes((99,)) + OPEN[1:],
    "operation 0": bytes(1) + OPEN[1:],
    "goodbye": bytes((frames.GOODBYE,)) + OPEN[1:],
    "an answer": bytes((frames.OPEN | frames.ANSWER,)) + OPEN[1:],
    "cut message": Request(frames.SEND, body=CUT[:-1]).to_bytes(),
    "cut header": Request(frames.SEND, body=CUT[:7]).to_bytes(),
    "longer data than there is": Request(frames.SEND, body=b"\0\0\0\0\xff\xff\xff\xff\0\0\xff\xff").to_bytes(),
    "65535 items": Request(frames.SEND, body=b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff").to_bytes(),
    "too many messages": Request(frames.SEND, body=Message(b"").to_bytes() * 1025).to_bytes(),
    "receive without a count": Request(frames.RECEIVE, 0, 1, 1).to_bytes(),
    "receive of none": Request(frames.RECEIVE, 0, 1, 1, bytes(2)).to_bytes(),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_ends_its_connection_and_no_other(channel: socket.socket, name: str) -> None:
    with opened(channel):
        channel.send(MALFORMED[name])
        assert is_over(channel)


@pytest.mark.parametrize("size", [frames.MAXIMUM_FRAME + 1, 400_000])
def test_an_oversized_frame_ends_its_connection(channel: socket.socket, size: int) -> None:
    channel.setsockopt(linux.SOL_SOCKET, linux.SO_SNDBUFFORCE, 1 << 21)
    with opened(channel):
        channel.send(SEND[:1] + bytes(size - 1))
        assert is_over(channel)


def test_random_frames_harm_nobody(service: RunningService) -> None:
    source = random.Random(1)
    seeds = [OPEN, SEND, RECEIVE, *MALFORMED.values()]
    for _ in range(300):
        with attacker(service) as channel:
            for _ in range(source.randrange(5)):
                frame = bytearray(source.choice(seeds) or b"\0")
                for _ in range(source.randrange(4)):
                    frame[source.randrange(len(frame))] = source.randrange(256)
                with contextlib.suppress(OSError):
                    channel.send(frame)


def test_options_and_addresses_of_any_bytes_harm_nobody(channel: socket.socket) -> None:
    source = random.Random(2)
    with opened(channel):
        for level in (0, 1, 41, 58, 255, -1):
            for option in range(-1, 90):
                value = source.randbytes(source.choice((0, 1, 4, 8, 16, 40, 136)))
                for request in (
                    Request(frames.SETSOCKOPT, level, option, body=value),
                    Request(frames.GETSOCKOPT, level, option, source.choice((0, 1, 4, 1000, -1, 70000))),
                ):
                    channel.send(request.to_bytes())
                    assert parse_answer_untrusted(channel.recv(frames.MAXIMUM_FRAME)).operation == request.operation
        for operation in (frames.BIND, frames.CONNECT):
            for length in (*range(40), 128, 129, 5000):
                channel.send(Request(operation, body=source.randbytes(length)).to_bytes())
                assert channel.recv(frames.MAXIMUM_FRAME)


def test_a_flood_of_connections_stops_at_the_quota(service: RunningService) -> None:
    with contextlib.ExitStack() as stack:
        codes = set()
        for _ in range(400):
            channel = stack.enter_context(attacker(service))
            try:
                channel.send(OPEN)
                codes.add(parse_answer_untrusted(channel.recv(4096)).errno)
            except (BrokenPipeError, ConnectionResetError):
                codes.add(parse_answer_untrusted(channel.recv(4096)).errno)
        assert codes == {0, errno.EMFILE}
        assert service.status()["connections"] <= 42


def test_connections_of_many_users_stop_at_the_limit_of_descriptors(service: RunningService) -> None:
    limit = service.status()["connections_limit"]
    with contextlib.ExitStack() as stack:
        refused = 0
        for uid in range(2000, 2020):
            for _ in range(39):
                channel = stack.enter_context(attacker(service, Credentials(uid, uid)))
                with contextlib.suppress(OSError):
                    channel.send(OPEN)
                with contextlib.suppress(ConnectionResetError):
                    refused += parse_answer_untrusted(channel.recv(4096)).errno == errno.ENFILE
        assert refused
        assert len(os.listdir(f"/proc/{service.pid}/fd")) <= 3 * limit + 64


def test_connecting_and_dying_at_once_costs_nothing(service: RunningService) -> None:
    for _ in range(500):
        attacker(service).close()


def test_a_client_that_never_reads_stops_being_read(channel: socket.socket, service: RunningService) -> None:
    with opened(channel):
        channel.setblocking(False)
        before = memory_of(service)
        request = Request(frames.GETSOCKOPT, 0, 0, 65000).to_bytes()
        for _ in range(20):
            with contextlib.suppress(BlockingIOError):
                while True:
                    channel.send(request)
            time.sleep(0.005)
        assert memory_of(service) - before < 4096
        channel.setblocking(True)
        channel.settimeout(10)
        assert parse_answer_untrusted(channel.recv(frames.MAXIMUM_FRAME)).operation == frames.GETSOCKOPT


def memory_of(service: RunningService) -> int:
    """Kibibytes."""
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_answers_that_found_no_room_come_in_order_once_there_is(channel: socket.socket) -> None:
    with opened(channel):
        sent = 0
        channel.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sent < 5000:
                channel.send(Request(frames.POLL, number=sent + 1).to_bytes())
                sent += 1
        time.sleep(0.05)
        channel.settimeout(10)
        numbers = [parse_answer_untrusted(channel.recv(4096)).number for _ in range(sent)]
        assert numbers == list(range(1, sent + 1))


OPERATIONS: dict[str, list[bytes]] = {
    "connecting": [],
    "open": [OPEN],
    "bind": [OPEN, Request(frames.BIND, body=pack_in(bytes(4), 0)).to_bytes()],
    "connect": [OPEN, CONNECT],
    "send": [OPEN, SEND],
    "receive": [OPEN, SEND, RECEIVE],
    "own name": [OPEN, Request(frames.GETSOCKNAME).to_bytes()],
    "peer's name": [OPEN, CONNECT, Request(frames.GETPEERNAME).to_bytes()],
    "join": [OPEN, JOIN],
    "option": [OPEN, Request(frames.SETSOCKOPT, 0, 11, body=b"\1\0\0\0").to_bytes()],
    "reading an option": [OPEN, Request(frames.GETSOCKOPT, linux.SOL_SOCKET, linux.SO_RCVBUF, 4).to_bytes()],
    "shutdown": [OPEN, CONNECT, SEND, Request(frames.SHUTDOWN, socket.SHUT_RDWR).to_bytes()],
    "poll": [OPEN, SEND, Request(frames.POLL).to_bytes()],
    "close": [OPEN, SEND, Request(frames.CLOSE).to_bytes()],
    "refused borrow": [BORROW],
    "status": [Request(frames.STATUS).to_bytes()],
}
"""What a client asks, one behind the other, and does not wait for."""


def test_every_operation_is_one_that_a_client_dies_in() -> None:
    assert {asked[-1][0] for asked in OPERATIONS.values() if asked} == frames.OPERATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_lives_has_each_of_them_done(service: RunningService, name: str) -> None:
    refused = {"refused borrow": errno.EOPNOTSUPP, "status": errno.EACCES}
    with attacker(service) as channel:
        for frame in OPERATIONS[name]:
            channel.send(frame)
            answer = parse_answer_untrusted(channel.recv(frames.MAXIMUM_FRAME))
            assert answer.errno == refused.get(name, 0), answer


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_client_that_dies_in_the_middle_leaves_nothing(service: RunningService, name: str) -> None:
    for _ in range(20):
        channel = attacker(service)
        for frame in OPERATIONS[name]:
            channel.send(frame)
        channel.close()


@pytest.fixture(scope="module")
def lender(users: None) -> Iterator[RunningService]:
    """Hands over: the kernel opens ping sockets to the service's group, and to no client."""
    RANGE.write_text(f"{SERVICE_USER} {SERVICE_USER}")
    try:
        with running_service('[access]\ngroup_range = "0 4294967294"\n') as service:
            yield service
    finally:
        RANGE.write_text("1 0")


def asks_and_dies(_channel: socket.socket) -> None:
    """Whether it is lent a socket before its end, or none after it, is for the service's turns to say."""


def dies_with_the_descriptor_under_way(channel: socket.socket) -> None:
    # Looking at the answer without room for descriptors leaves it in the queue, and them with it.
    assert parse_answer_untrusted(channel.recv(4096, socket.MSG_PEEK)).errno == 0


def dies_with_the_socket_in_its_hands(channel: socket.socket) -> None:
    with borrowed(channel):
        pass


def dies_with_a_request_under_way(channel: socket.socket) -> None:
    with borrowed(channel) as sock:
        sock.sendto(ECHO, HERE)
        channel.close()


def borrowed(channel: socket.socket) -> socket.socket:
    frame, descriptors, _, _ = socket.recv_fds(channel, 4096, 4)
    assert (parse_answer_untrusted(frame).errno, len(descriptors)) == (0, 1)
    return socket.socket(fileno=descriptors[0])


@pytest.mark.parametrize(
    "stage",
    [
        asks_and_dies,
        dies_with_the_descriptor_under_way,
        dies_with_the_socket_in_its_hands,
        dies_with_a_request_under_way,
    ],
)
def test_a_borrower_that_dies_leaves_nothing(lender: RunningService, stage: Callable[[socket.socket], None]) -> None:
    with attacked(lender):
        for _ in range(20):
            with attacker(lender) as channel:
                channel.send(BORROW)
                stage(channel)
    assert Path("/proc/net/icmp").read_text().count("\n") == 1, "the kernel has no ping socket, only the heading"


@pytest.mark.parametrize("delay", [0.0, 0.0005])
def test_a_socket_that_closes_as_its_replies_come_leaves_nothing(service: RunningService, delay: float) -> None:
    for _ in range(100):
        with attacker(service) as channel, opened(channel):
            channel.send(Request(frames.SEND, body=TO_HERE.to_bytes() * 20).to_bytes())
            time.sleep(delay)


def test_descriptors_sent_along_are_refused_and_not_kept(channel: socket.socket, service: RunningService) -> None:
    with opened(channel):
        before = service.descriptors()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel.fileno()] * 200))]
        try:
            channel.sendmsg([Request(frames.POLL).to_bytes()], rights)
        except PermissionError:
            channel.send(Request(frames.POLL).to_bytes())
            assert parse_answer_untrusted(channel.recv(4096)).operation == frames.POLL
        else:
            # Before Linux 6.16 nobody refuses them to the sender.
            assert is_over(channel)
        assert service.descriptors() <= before + 3


LINGERING = """
import array, os, socket, struct, sys
path, uid = sys.argv[1], int(sys.argv[2])
service = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
service.bind(path)
os.chmod(path, 0o666)
service.listen()
os.chdir(os.path.dirname(path))
far = socket.create_server(("127.0.0.1", 0))
near = socket.socket()
os.seteuid(uid)  # who may not be able to read this Python's modules any more
near.connect(far.getsockname())
never_read, _ = far.accept()
near.setblocking(False)
try:
    while True:
        near.send(bytes(65536))
except BlockingIOError:
    pass
near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=2i", 1, 600))
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(os.path.basename(path))
client.sendmsg([bytes(17)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [near.fileno()]))])
near.close()
os.seteuid(0)
for kept in (never_read, client):
    kept.set_inheritable(True)
os.dup2(service.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Listens for the service, and is its first client: one that leaves it a file whose last close takes ten minutes."""


@pytest.mark.parametrize("permitted", [True, False])
def test_a_descriptor_that_takes_long_to_close_keeps_nobody_waiting(tmp_path: Path, permitted: bool) -> None:
    path = tmp_path / "s"
    uid = MALLORY.uid if permitted else 1777
    configuration = f"[access]\nusers = [{BOB.uid}, {MALLORY.uid}]\n[permit]\nhand_over = false\n"
    under = (sys.executable, "-c", LINGERING, str(path), str(uid))
    tmp_path.chmod(0o755)
    with running_service(configuration, under=under, listens_at=path) as service:
        service.settled(0)
        assert ("refused socket" in service.log) is not permitted


END_AT_ONCE = """
import socket
from pingsock.service.configuration import Configuration
from pingsock.service.rights import let_alarms_hurry
from pingsock.service.server import Server
let_alarms_hurry()
Server(socket.socket(fileno=3), None, Configuration(), print).close()
"""


def test_a_service_that_ends_does_not_wait_for_what_is_left_in_its_backlog(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = [
        sys.executable,
        "-c",
        LINGERING,
        str(tmp_path / "s"),
        str(MALLORY.uid),
        sys.executable,
        "-c",
        END_AT_ONCE,
    ]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_a_socket_filter_that_would_take_long_is_refused(channel: socket.socket) -> None:
    step, end = struct.pack(linux.SOCK_FILTER_LAYOUT, 0x04, 0, 0, 1), struct.pack(linux.SOCK_FILTER_LAYOUT, 6, 0, 0, 1)
    with opened(channel):
        for count, expected in ((MOST_INSTRUCTIONS, 0), (MOST_INSTRUCTIONS + 1, errno.ENOMEM), (4096, errno.ENOMEM)):
            program = step * (count - 1) + end
            channel.send(Request(frames.SETSOCKOPT, linux.SOL_SOCKET, linux.SO_ATTACH_FILTER, body=program).to_bytes())
            assert parse_answer_untrusted(channel.recv(4096)).errno == expected


def test_the_service_takes_nothing_in_through_the_readiness_channel(channel: socket.socket) -> None:
    with opened(channel) as readiness, pytest.raises(BrokenPipeError):
        readiness.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel.fileno()]))])


def blocks(readiness: socket.socket) -> None:
    fcntl.fcntl(readiness, fcntl.F_SETFL, 0)


def is_shut_down(readiness: socket.socket) -> None:
    readiness.shutdown(socket.SHUT_RDWR)


def is_emptied(readiness: socket.socket) -> None:
    readiness.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        readiness.recv(10)


def is_closed(readiness: socket.socket) -> None:
    readiness.close()


@pytest.mark.parametrize("abuse", [blocks, is_shut_down, is_emptied, is_closed])
def test_a_readiness_channel_its_client_spoils_harms_nobody(
    channel: socket.socket, abuse: Callable[[socket.socket], None]
) -> None:
    with opened(channel) as readiness:
        for _ in range(3):
            abuse(readiness)
            for frame in (SEND, RECEIVE, RECEIVE):
                channel.send(frame)
                assert channel.recv(frames.MAXIMUM_FRAME)
            if abuse is is_closed or abuse is is_shut_down:
                break


def test_a_forged_ident_is_overwritten(channel: socket.socket, service: RunningService) -> None:
    with ServedPingSocket(socket.AF_INET, service.connect(BOB)) as victim, opened(channel) as readiness:
        victim.bind(HERE)
        forged = bytes((8, 0, 0, 0)) + victim.getsockname()[1].to_bytes(2, "big") + bytes(10)
        message = Message(forged, address=pack_in(bytes((127, 0, 0, 1))))
        channel.send(Request(frames.SEND, body=message.to_bytes()).to_bytes())
        assert parse_answer_untrusted(channel.recv(4096)).result == 1
        assert select.select([readiness], [], [], 10)[0]
        channel.send(RECEIVE)
        assert parse_answer_untrusted(channel.recv(4096)).result == 1
        assert errno_of(victim.recv, 100, linux.MSG_DONTWAIT) == errno.EAGAIN


def test_another_users_ident_cannot_be_had(service: RunningService) -> None:
    with (
        ServedPingSocket(socket.AF_INET, service.connect(BOB)) as victim,
        ServedPingSocket(socket.AF_INET, service.connect(MALLORY)) as thief,
    ):
        victim.bind(HERE)
        ident = victim.getsockname()[1]
        assert {errno_of(thief.bind, (host, ident)) for host in ("127.0.0.1", "0.0.0.0")} == {errno.EADDRINUSE}
        assert errno_of(thief.setsockopt, linux.SOL_SOCKET, linux.SO_REUSEADDR, 1) == 0
        assert errno_of(thief.bind, ("127.0.0.1", ident)) == errno.EADDRINUSE


def test_a_frame_of_a_thousand_messages_does_not_keep_the_others_waiting(channel: socket.socket) -> None:
    with opened(channel):
        frame = Request(frames.SEND, body=TO_HERE.to_bytes() * 1024).to_bytes()
        for _ in range(20):
            channel.send(frame)
            assert parse_answer_untrusted(channel.recv(4096)).result == 64


def test_one_connection_asks_for_one_thing(channel: socket.socket) -> None:
    with opened(channel):
        for request, expected in (
            (Request(frames.OPEN, 2, 2, 1), errno.EISCONN),
            (Request(frames.BORROW, 2), errno.EISCONN),
            (Request(frames.STATUS), errno.EACCES),
        ):
            channel.send(request.to_bytes())
            assert parse_answer_untrusted(channel.recv(frames.MAXIMUM_FRAME)).errno == expected


def test_a_connection_given_to_another_user_stays_that_of_who_opened_it(service: RunningService) -> None:
    near, far = socket.socketpair()
    with attacker(service) as channel, near, far:
        socket.send_fds(near, [b"x"], [channel.fileno()])
        _, descriptors, _, _ = socket.recv_fds(far, 1, 1)
        given = socket.socket(fileno=descriptors[0])
        given.setblocking(True)
        with as_somebody(BOB):
            sock = ServedPingSocket(socket.AF_INET, ServiceConnection(given))
        with sock:
            assert {user["uid"]: user["connections"] for user in service.status()["users"]}[MALLORY.uid] == 1
