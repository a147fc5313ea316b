"""A running service: who gets sockets, what may be sent, both ways of lending, losing it, reloading it."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import socket
from typing import TYPE_CHECKING

import pytest

import pingsock
from bed.bed import errno_of
from bed.child import Credentials, can_change_user
from bed.namespace import run_ip
from bed.running import RunningService, as_somebody, running_service
from pingsock.cli.main import main as run_command
from pingsock.cli.serve import main
from pingsock.service.client import PATH_VARIABLE, borrow_kernel_socket, connect_service
from pingsock.sockets.borrowed import BorrowedPingSocket
from pingsock.sockets.diagnosis import diagnose
from pingsock.sockets.served import ServedPingSocket
from pingsock.wire import linux
from sockets_unit.private import RANGE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("users")

ALICE, BOB = Credentials(1001, 1001), Credentials(1002, 1002, (3000,))
EVERYBODY = '[access]\ngroup_range = "0 4294967294"\n'
SERVED_ONLY = EVERYBODY + "[permit]\nhand_over = false\n"
ECHO, EXTENDED, TIMESTAMP = (bytes((kind, 0)) + bytes(14) for kind in (8, 42, 13))
ECHO6 = bytes((128, 0)) + bytes(14)
HERE, THERE = ("127.0.0.1", 0), ("127.0.0.2", 0)


@pytest.fixture(scope="module", autouse=True)
def network(users: None) -> None:
    commands = (
        "link add near type veth peer name far",
        "link set near up",
        "link set far up",
        "addr add 10.5.0.1/24 brd + dev near",
        "addr add 2001:db8:5::1/64 dev near nodad",
        "route add default via 10.5.0.2",
        "route add default via 2001:db8:5::2",
    )
    run_ip("\n".join(commands))


@pytest.fixture(scope="module")
def running(network: None) -> Iterator[RunningService]:
    with running_service(SERVED_ONLY) as service:
        yield service


@pytest.fixture
def service(running: RunningService) -> RunningService:
    return running


def served(service: RunningService, who: Credentials = ALICE, family: int = socket.AF_INET) -> ServedPingSocket:
    sock = ServedPingSocket(family, service.connect(who))
    sock.settimeout(5)
    return sock


def refusal(service: RunningService, who: Credentials) -> int:
    return errno_of(lambda: served(service, who).close())


def test_a_ping_there_and_back_over_both_families(service: RunningService) -> None:
    service.reload(SERVED_ONLY)
    with served(service) as sock, served(service, ALICE, socket.AF_INET6) as sock6:
        sock.sendto(ECHO, HERE)
        sock6.sendto(ECHO6, ("::1", 0))
        assert (sock.recv(100)[0], sock6.recv(100)[0]) == (0, 129)


def test_by_default_nobody_gets_a_socket_not_even_root(service: RunningService) -> None:
    service.reload("")
    assert refusal(service, ALICE) == refusal(service, Credentials(0, 0)) == errno.EACCES


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        ("users = [1001]", {ALICE}),
        ('group_range = "1002 1002"', {BOB}),
        ('group_range = "3000 4000"', {BOB}),
        ('group_range = "0 4294967294"\ndenied_users = [1002]', {ALICE}),
    ],
)
def test_who_gets_sockets(service: RunningService, access: str, allowed: set[Credentials]) -> None:
    service.reload(f"[access]\n{access}\n[permit]\nhand_over = false")
    assert {who for who in (ALICE, BOB) if not refusal(service, who)} == allowed


def test_somebody_in_more_groups_than_python_can_ask_for(service: RunningService) -> None:
    service.reload('[access]\ngroup_range = "9999 9999"\n')
    assert refusal(service, Credentials(1001, 1001, (*range(20000, 21000), 9999))) == 0


def test_a_refusal_is_one_line_that_says_who_and_why(service: RunningService) -> None:
    service.reload('[access]\ngroup_range = "5 6"\n')
    refusal(service, ALICE)
    line = service.log.splitlines()[-1]
    assert line.startswith(f"pingsockd: refused socket uid=1001 gid=1001 pid={os.getpid()} errno=EACCES")
    assert line.endswith('reason="neither a permitted user nor in the group range 5 6"')


def test_lines_about_refusals_are_limited_and_counted_for_each_user(service: RunningService) -> None:
    service.reload("[audit]\nrefusals_per_minute = 3\n")
    before = service.log.count("refused socket")
    for _ in range(9):
        refusal(service, Credentials(1003, 1003))
    refusal(service, Credentials(1004, 1004))
    assert service.log.count("refused socket") == before + 4
    counted = {user["uid"]: user["refusals"] for user in service.status()["users"]}
    assert counted[1003] == 9


RULES = [
    ('denied_destinations = ["127.0.0.2/32"]', HERE, 0),
    ('denied_destinations = ["127.0.0.2/32"]', THERE, errno.EPERM),
    ('destinations = ["127.0.0.2/32"]', HERE, errno.EPERM),
    ('destinations = ["127.0.0.2/32"]', THERE, 0),
    ('destinations = ["127.0.0.0/8"]\ndenied_destinations = ["127.0.0.2/31"]', THERE, errno.EPERM),
    ('denied_destinations = ["127.0.0.0/8"]', ("0.0.0.0", 0), errno.EPERM),
    ("multicast = false", ("224.0.0.1", 0), errno.EPERM),
    ("multicast = false", HERE, 0),
    ("broadcast = false", ("10.5.0.255", 0), errno.EPERM),
    ("broadcast = false", ("255.255.255.255", 0), errno.EPERM),
    ("multicast = false", ("10.5.0.255", 0), 0),
]


@pytest.mark.parametrize(("rule", "destination", "expected"), RULES)
def test_where_requests_may_go(service: RunningService, rule: str, destination: tuple[str, int], expected: int) -> None:
    service.reload(f"{EVERYBODY}[permit]\n{rule}\n")
    with served(service) as sock:
        sock.setsockopt(linux.SOL_SOCKET, linux.SO_BROADCAST, 1)
        assert errno_of(sock.sendto, ECHO, destination) == expected


@pytest.mark.parametrize("destination", ["::1", "::"])
def test_ipv6_destinations_are_ruled_too(service: RunningService, destination: str) -> None:
    service.reload(f'{EVERYBODY}[permit]\ndenied_destinations = ["::1/128"]\n')
    with served(service, family=socket.AF_INET6) as sock:
        assert errno_of(sock.sendto, ECHO6, (destination, 0)) == errno.EPERM


def test_connecting_does_not_get_around_it(service: RunningService) -> None:
    service.reload(f'{EVERYBODY}[permit]\ndenied_destinations = ["127.0.0.2/32"]\n')
    with served(service) as sock:
        sock.connect(("127.0.0.2", 1))
        assert errno_of(sock.send, ECHO) == errno.EPERM
    assert "refused send uid=1001 gid=1001" in service.log
    assert 'reason="destination 127.0.0.2 is not permitted"' in service.log


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        (["echo"], {ECHO}),
        (["extended-echo"], {EXTENDED}),
        (["echo", "extended-echo"], {ECHO, EXTENDED}),
        (["echo", "timestamp"], {ECHO, TIMESTAMP}),
    ],
)
def test_which_messages_may_be_sent(service: RunningService, messages: list[str], sent: set[bytes]) -> None:
    service.reload(f"{EVERYBODY}[permit]\nmessages = {json.dumps(messages)}\nhand_over = false\n")
    with served(service) as sock:
        assert {kind for kind in (ECHO, EXTENDED, TIMESTAMP) if not errno_of(sock.sendto, kind, HERE)} == sent


def test_a_user_has_so_many_sockets_and_others_have_theirs(service: RunningService) -> None:
    service.reload(f"{SERVED_ONLY}[quota]\nsockets = 2\n")
    with served(service), served(service):
        assert refusal(service, ALICE) == errno.EMFILE
        assert refusal(service, BOB) == 0
    assert refusal(service, ALICE) == 0


def test_a_user_sends_so_many_packets_a_second_and_others_theirs(service: RunningService) -> None:
    service.reload(f"{SERVED_ONLY}[quota]\npackets_per_second = 5\n")
    with served(service) as first, served(service) as second, served(service, BOB) as other:
        errnos = [errno_of(sock.sendto, ECHO, HERE) for sock in (first, second) * 4]
        assert errnos[:5] == [0] * 5
        assert set(errnos[5:]) <= {errno.ENOBUFS}
        assert errno_of(other.sendto, ECHO, HERE) == 0


def test_what_waits_in_a_users_sockets_is_limited_and_others_receive(service: RunningService) -> None:
    service.reload(f"{SERVED_ONLY}[quota]\nqueued_bytes = 8192\n")
    with served(service) as first, served(service) as second, served(service, BOB) as other:
        for sock in (first, second) * 20:
            sock.sendto(ECHO, HERE)
        other.sendto(ECHO, HERE)
        assert other.recv(100)[0] == 0
        shares = {user["uid"]: user["queued_bytes"] for user in service.status()["users"]}
        assert 4096 <= shares[1001] <= 16384
    service.settled(0)
    assert service.status()["queued_bytes"] == 0


def test_reloading_leaves_sockets_open_and_rules_their_next_packet(service: RunningService) -> None:
    service.reload(SERVED_ONLY)
    with served(service) as sock:
        sock.sendto(ECHO, HERE)
        ident = sock.getsockname()[1]
        service.reload(f'{EVERYBODY}[permit]\ndenied_destinations = ["127.0.0.0/8"]\n')
        assert (sock.recv(100)[0], sock.getsockname()[1]) == (0, ident)
        assert errno_of(sock.sendto, ECHO, HERE) == errno.EPERM
        service.reload("")
        assert sock.getsockname()[1] == ident


def test_a_bad_configuration_is_told_and_the_old_one_stays(service: RunningService) -> None:
    service.reload(SERVED_ONLY)
    service.configuration_path.write_text("[quota]\nsockets = 0\n")
    service.process.send_signal(1)
    service._wait_until(lambda: "goes on with its old configuration" in service.log)
    assert f"{service.configuration_path}:2: quota.sockets: must be a whole number" in service.log
    assert refusal(service, ALICE) == 0


@pytest.mark.skipif(not can_change_user(), reason="root may read any file")
def test_a_configuration_that_cannot_be_read_again_is_told_as_at_the_start(service: RunningService) -> None:
    service.configuration_path.chmod(0o600)
    service.process.send_signal(signal.SIGHUP)
    told = f"pingsockd: goes on with its old configuration: {service.configuration_path}: Permission denied\n"
    service._wait_until(lambda: told in service.log)
    service.configuration_path.chmod(0o644)


def test_another_users_ident_can_be_exclusive(service: RunningService) -> None:
    service.reload(f"{SERVED_ONLY}owner_exclusive_idents = true\n")
    with served(service) as mine, served(service, BOB) as theirs, served(service) as also_mine:
        mine.bind(HERE)
        ident = mine.getsockname()[1]
        assert errno_of(theirs.bind, ("127.0.0.1", ident)) == errno.EADDRINUSE
        assert errno_of(also_mine.bind, ("127.0.0.1", ident)) == 0


def test_a_closed_sockets_ident_is_free_when_close_returns(service: RunningService) -> None:
    service.reload(SERVED_ONLY)
    ident = 0
    for _ in range(50):
        with served(service) as sock:
            sock.setsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
            sock.bind(("127.0.0.1", ident))
            ident = sock.getsockname()[1]


# Handing over


def test_a_socket_is_handed_over_where_the_kernel_has_one_for_the_service() -> None:
    with running_service(EVERYBODY, "--group-range") as service:
        try:
            _, gid = RANGE.read_text().split()
            assert f'has set net.ipv4.ping_group_range to "{gid} {gid}"' in service.log
            with as_somebody(ALICE):
                assert errno_of(pingsock.KernelPingSocket) == errno.EACCES
                sock = BorrowedPingSocket(path=service.path)
            with sock:
                sock.sendto(ECHO, HERE)
                assert sock.recv(100)[0] == 0
                assert (sock.kind, sock.getsockopt(linux.SOL_SOCKET, linux.SO_REUSEADDR)) == ("borrowed", 0)
                assert {user["uid"]: user["handed_over"] for user in service.status()["users"]}[1001] == 1
                with sock.dup() as copy:
                    sock.close()
                    assert service.status()["handed_over"] == 1
                    copy.sendto(ECHO, HERE)
            service.settled(0)
            assert service.status()["handed_over"] == 0
        finally:
            RANGE.write_text("1 0")


def test_handed_over_sockets_count_against_the_quota_and_outlive_the_service() -> None:
    RANGE.write_text("0 2147483647")
    try:
        with running_service(f"{EVERYBODY}[quota]\nsockets = 1\n") as service:
            with as_somebody(ALICE):
                sock = borrow_kernel_socket(socket.AF_INET6, service.path)
                assert errno_of(borrow_kernel_socket, socket.AF_INET, service.path) == errno.EMFILE
            service.kill()
            sock.sendto(ECHO6, ("::1", 0))
            assert sock.recv(100)[0] == 129
            sock.close()
    finally:
        RANGE.write_text("1 0")


@pytest.mark.parametrize("rule", ["hand_over = false", "multicast = false", 'destinations = ["127.0.0.0/8"]'])
def test_nothing_is_handed_over_that_policy_must_watch(rule: str) -> None:
    RANGE.write_text("0 2147483647")
    try:
        with running_service(f"{EVERYBODY}[permit]\n{rule}\n") as service, as_somebody(ALICE):
            assert errno_of(borrow_kernel_socket, socket.AF_INET, service.path) == errno.EOPNOTSUPP
    finally:
        RANGE.write_text("1 0")


def test_the_range_of_others_is_not_taken_from_them() -> None:
    RANGE.write_text("7 9")
    try:
        with pytest.raises(AssertionError, match="for others than group"):
            RunningService(EVERYBODY, "--group-range")
    finally:
        RANGE.write_text("1 0")


WITHOUT_RAW = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+setuid,+setgid")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_service_without_raw_sockets_hands_over_and_serves_nothing() -> None:
    RANGE.write_text("0 2147483647")
    try:
        with running_service(EVERYBODY, under=WITHOUT_RAW) as service, as_somebody(ALICE):
            with borrow_kernel_socket(socket.AF_INET, service.path) as sock:
                sock.sendto(ECHO, HERE)
                assert sock.recv(100)[0] == 0
            assert errno_of(lambda: ServedPingSocket(socket.AF_INET, connect_service(service.path))) == errno.EOPNOTSUPP
    finally:
        RANGE.write_text("1 0")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_service_that_can_do_neither_does_not_start() -> None:
    with pytest.raises(AssertionError, match="without CAP_NET_RAW nothing can be served"):
        RunningService(EVERYBODY, under=WITHOUT_RAW)


def test_a_socket_of_no_family_is_lent_to_nobody(service: RunningService) -> None:
    service.reload(EVERYBODY)
    with as_somebody(ALICE):
        assert errno_of(borrow_kernel_socket, socket.AF_UNIX, service.path) == errno.EAFNOSUPPORT


# Finding and losing it


def test_open_finds_the_service_and_a_restarted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(EVERYBODY) as service:
        monkeypatch.setenv(PATH_VARIABLE, service.path)
        with as_somebody(ALICE):
            first = pingsock.open(socket.AF_INET)
        with first:
            assert first.kind == "served"
            service.kill()
            assert errno_of(first.sendto, ECHO, HERE) == errno.ECONNRESET
            assert errno_of(first.recv, 100) == errno.ECONNRESET
            assert select.select([first], [], [], 5)[0]
            service.start()
            assert errno_of(first.sendto, ECHO, HERE) == errno.ECONNRESET
        with as_somebody(ALICE), pingsock.open(socket.AF_INET) as second:
            second.settimeout(5)
            second.sendto(ECHO, HERE)
            assert second.recv(100)[0] == 0


def test_open_takes_what_is_handed_over_before_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(EVERYBODY, "--group-range") as service:
        monkeypatch.setenv(PATH_VARIABLE, service.path)
        try:
            with as_somebody(ALICE), pingsock.open(socket.AF_INET6) as sock:
                assert sock.kind == "borrowed"
        finally:
            RANGE.write_text("1 0")


def test_many_messages_come_in_one_exchange(service: RunningService) -> None:
    service.reload(SERVED_ONLY)
    with served(service) as sock:
        assert errno_of(sock.recvmsg_many, 5, 100) == errno.EAGAIN
        for number in range(7):
            sock.sendto(ECHO[:6] + bytes((0, number)) + bytes(8), HERE)
        received: list[int] = []
        while len(received) < 7:
            select.select([sock], [], [], 5)
            batch = sock.recvmsg_many(5, 100)
            assert len(batch) <= 5
            received += [data[7] for data, _, _, _ in batch]
        assert received == list(range(7))


def test_the_prober_pings_through_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(SERVED_ONLY) as service:
        monkeypatch.setenv(PATH_VARIABLE, service.path)
        hosts = [f"127.0.0.{number}" for number in range(1, 101)] + ["::1"]
        # Imported before: the interpreter's files may be out of somebody's reach.
        ping_many = pingsock.ping_many
        with as_somebody(ALICE):
            told = list(ping_many(hosts, kinds=["served"]))
        summaries = [record for record in told if isinstance(record, pingsock.Summary)]
        assert len(summaries) == 101
        assert all(summary.statistics.received == 1 for summary in summaries)


def test_somebody_who_waits_is_woken_when_the_service_ends() -> None:
    with running_service(SERVED_ONLY) as service, served(service) as sock:
        sock.bind(HERE)
        service.process.terminate()
        assert errno_of(sock.recv, 100) == errno.ECONNRESET


def test_the_doctor_knows_the_service(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.reload(SERVED_ONLY)
    monkeypatch.setenv(PATH_VARIABLE, service.path)
    with as_somebody(ALICE):
        said = {kind.name: kind for kind in diagnose(socket.AF_INET).kinds}
    assert said["served"].usable
    assert "hands no sockets of the kernel over" in said["borrowed"].reason
    service.reload("")
    with as_somebody(ALICE):
        refused = next(kind for kind in diagnose(socket.AF_INET).kinds if kind.name == "served")
    assert (refused.usable, refused.cures[0].line) == (False, "[access]\nusers = [1001]")


# The command


def test_the_status_is_for_root(service: RunningService, capfd: pytest.CaptureFixture[str]) -> None:
    service.reload(SERVED_ONLY)
    assert main(["--status", "--json", "--socket", service.path]) == 0
    status = json.loads(capfd.readouterr().out)
    assert (status["schema"], status["pid"], status["serves"]) == (1, service.pid, True)
    assert main(["--status", "--socket", service.path]) == 0
    assert "connections           1\n" in capfd.readouterr().out
    with as_somebody(ALICE):
        assert main(["--status", "--socket", service.path]) == 1
    assert capfd.readouterr().err == "pingsock serve: no status: Permission denied\n"


def test_no_service_no_status(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--status", "--socket", "/nowhere/at/all"]) == 1
    assert "no service of ping sockets listens at /nowhere/at/all" in capfd.readouterr().err


def test_a_configuration_can_be_checked_alone(service: RunningService, capfd: pytest.CaptureFixture[str]) -> None:
    service.configuration_path.write_text("")
    assert main(["--check", "--config", str(service.configuration_path)]) == 0
    assert capfd.readouterr().out == f"{service.configuration_path} is in order\n"
    service.configuration_path.write_text("x")
    assert main(["--check", "--config", str(service.configuration_path)]) == 2
    assert f"{service.configuration_path}:1: not TOML" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--jason"], "unrecognized arguments: --jason"),
        (["--json"], "--json goes with --status"),
        (["--sandbox=maybe"], "invalid choice: 'maybe'"),
        (["--user=nobody-of-that-name"], "there is no user 'nobody-of-that-name'"),
        (["--user=0:0", "--stay-root"], "--user and --stay-root exclude each other"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    arguments: list[str], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert complaint in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--stay-root", "--config", "/nowhere"], 1, "/nowhere: No such file or directory"),
        (["--check", "--config", "/nowhere"], 2, "/nowhere: No such file or directory"),
        (["--stay-root", "--socket", "/no/where/s"], 1, "/no/where: No such file or directory"),
        (["--stay-root", "--socket", f"/{'x' * 200}"], 1, f"cannot listen at /{'x' * 200}: AF_UNIX path too long"),
    ],
)
def test_what_keeps_it_from_starting_is_told_in_a_line(
    arguments: list[str], status: int, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert capfd.readouterr().err == f"pingsock serve: {complaint}\n"


@pytest.mark.parametrize(
    ("command", "program"), [(["pingsockd"], "pingsockd"), (["pingsock", "serve"], "pingsock serve")]
)
def test_it_calls_itself_what_it_was_called(
    command: list[str], program: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*command, "--help"]) == 0
    assert capfd.readouterr().out.startswith(f"usage: {program} [-h] [--config FILE]")
    assert run_command([*command, "--status", "--socket", "/nowhere"]) == 1
    assert run_command([*command, "--jason"]) == 2
    assert [line.partition(": ")[0] for line in capfd.readouterr().err.splitlines()] == [program, program]


def test_a_bad_configuration_is_a_reason_not_to_start() -> None:
    with pytest.raises(AssertionError, match=r"pingsockd.toml:2: acces.users: unknown|:1: acces: unknown table"):
        RunningService("[acces]\nusers = []\n")
