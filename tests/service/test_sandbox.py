"""What a running service has given up: read from /proc, and tried from inside."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bed.judge import verdict
from bed.running import SERVICE_USER, RunningService, running_service
from pingsock.service import landlock, seccomp
from pingsock.wire.seccomp import ALLOW, ERRNO, KILL_PROCESS
from pingsock.wire.syscalls import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("users")

FROM_INSIDE = textwrap.dedent("""
    import ctypes, os, signal, socket, sys
    from pingsock.service import sandbox
    from pingsock.service.privileges import Identity, give_up

    libc = ctypes.CDLL(None, use_errno=True)
    give_up(Identity({user}, {user}))
    state = sandbox.enter("required")

    def write_new(): open(sys.argv[1] + "/new", "w")
    def write_old(): open(sys.argv[1] + "/old", "r+")
    def append(): os.open(sys.argv[1] + "/old", os.O_WRONLY | os.O_APPEND)
    def truncate(): os.truncate(sys.argv[1] + "/old", 0)
    def remove(): os.unlink(sys.argv[1] + "/old")
    def rename(): os.rename(sys.argv[1] + "/old", sys.argv[1] + "/new")
    def directory(): os.mkdir(sys.argv[1] + "/new")
    def link(): os.symlink("/", sys.argv[1] + "/new")
    def mode(): os.chmod(sys.argv[1] + "/old", 0o777)
    def run(): os.execv("/bin/true", ["true"])
    def fork(): os.fork()
    def raw(): socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    def packet(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    def tcp(): socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    def udp(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    def unix(): socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    def kill(): os.kill(os.getppid(), 0)
    def become_root(): os.setuid(0)
    def change_root(): os.chroot("/")
    def namespace(): called(libc.unshare(0x40000000))
    def trace(): called(libc.ptrace(0, 0, 0, 0))
    def executable(): called(libc.mmap(None, 4096, 7, 0x22, -1, 0))
    def bind(): socket.socketpair()[0].bind("/tmp/x")

    def called(result):
        if result == -1:
            raise OSError(ctypes.get_errno(), "refused")

    for name, attempt in list(globals().items()):
        if callable(attempt) and getattr(attempt, "__module__", "") == "__main__" and name != "called":
            try:
                attempt()
            except OSError as error:
                print(name, error.errno)
            else:
                print(name, "DONE")
    print("still-reads", len(open(sys.argv[1] + "/old").read()))
    print("still-pairs", len(socket.socketpair()))
""")


@pytest.fixture(scope="module")
def service(users: None) -> Iterator[RunningService]:
    with running_service("") as service:
        yield service


def fields_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: content.strip() for name, _, content in (line.partition(":") for line in lines)}


def test_no_capability_is_left_in_any_set(service: RunningService) -> None:
    fields = fields_of(service.pid)
    assert {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": 0,
        "CapPrm": 0,
        "CapEff": 0,
        "CapBnd": 0,
        "CapAmb": 0,
    }


def test_it_is_its_own_user_in_no_other_group(service: RunningService) -> None:
    fields = fields_of(service.pid)
    assert fields["Uid"].split() == fields["Gid"].split() == [str(SERVICE_USER)] * 4
    assert fields["Groups"] == ""


def test_no_new_privileges_and_a_filter_are_on(service: RunningService) -> None:
    fields = fields_of(service.pid)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_it_has_one_thread_and_no_descriptor_to_write_but_its_log(service: RunningService) -> None:
    assert fields_of(service.pid)["Threads"] == "1"
    writable = set()
    for descriptor in Path(f"/proc/{service.pid}/fdinfo").iterdir():
        try:
            flags = int(re.search(r"flags:\s+(\d+)", descriptor.read_text())[1], 8)  # type: ignore[index]
            target = os.readlink(f"/proc/{service.pid}/fd/{descriptor.name}")
        except FileNotFoundError:
            continue  # that of the client before, just closed
        if flags & os.O_ACCMODE != os.O_RDONLY and target.startswith("/") and descriptor.name not in "012":
            writable.add(target)
    assert not writable


def test_the_status_says_the_same(service: RunningService) -> None:
    sandbox = service.status()["sandbox"]
    assert sandbox["seccomp"] == "on"
    assert set(sandbox["capabilities"].values()) == {"0"}
    assert sandbox["uid"] == SERVICE_USER


@pytest.fixture(scope="module")
def outcomes(users: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each forbidden thing ended in."""
    directory = Path("/tmp") / f"pingsock-sandbox-{os.getpid()}"
    directory.mkdir()
    (directory / "old").write_text("old")
    for path in (directory, directory / "old"):
        os.chown(path, SERVICE_USER, SERVICE_USER)
    code = FROM_INSIDE.replace("{user}", str(SERVICE_USER))
    try:
        done = subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True, check=False)
        assert sorted(os.listdir(directory)) == ["old"]
        assert (directory / "old").read_text() == "old"
    finally:
        (directory / "old").unlink()
        directory.rmdir()
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


FORBIDDEN = re.findall(r"^    def (\w+)\(\):", FROM_INSIDE.replace("\ndef", "\n    def"), re.MULTILINE)


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_from_inside_it_is_refused(outcomes: dict[str, str], attempt: str) -> None:
    assert outcomes[attempt] in ("1", "13")


def test_from_inside_what_a_service_does_still_works(outcomes: dict[str, str]) -> None:
    assert (outcomes["still-reads"], outcomes["still-pairs"]) == ("3", "2")


def decided(machine: str, name: str, *arguments: int) -> int:
    """What the filter for a machine makes of a call there."""
    architecture = ARCHITECTURES[machine]
    padded = [*arguments, *[0] * (6 - len(arguments))]
    return verdict(seccomp.program(machine), architecture.audit, architecture.numbers[name], padded)


REFUSED = ERRNO | errno.EPERM
PING4, PING6 = (2, socket.SOCK_DGRAM, 1), (10, socket.SOCK_DGRAM, 58)
CONDITIONAL = [
    ("socket", PING4, ALLOW),
    ("socket", PING6, ALLOW),
    ("socket", (2, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 1), ALLOW),
    ("socket", (2, socket.SOCK_DGRAM, 17), REFUSED),
    ("socket", (2, socket.SOCK_RAW, 1), REFUSED),
    ("socket", (10, socket.SOCK_DGRAM, 1), REFUSED),
    ("socketpair", (1, socket.SOCK_STREAM, 0), ALLOW),
    ("socketpair", (2, socket.SOCK_STREAM, 0), REFUSED),
    ("openat", (5, 0, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
    ("openat", (5, 0, os.O_WRONLY), REFUSED),
    ("openat", (5, 0, os.O_RDONLY | os.O_CREAT), REFUSED),
    ("mmap", (0, 4096, 3), ALLOW),
    ("mmap", (0, 4096, 5), REFUSED),
    ("mprotect", (0, 4096, 4), REFUSED),
    ("ioctl", (3, 0x5421), ALLOW),
    ("ioctl", (3, 0x5451), ALLOW),
    ("ioctl", (3, 0x5412), REFUSED),
]


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_on_every_machine_the_filter_looks_at_what_a_call_asks_for(machine: str) -> None:
    decisions = [(name, arguments, decided(machine, name, *arguments)) for name, arguments, _ in CONDITIONAL]

    assert decisions == CONDITIONAL


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_on_every_machine_the_filter_allows_what_is_listed_and_nothing_else(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    allowed = {
        number
        for number in range(-1, 600)
        if verdict(seccomp.program(machine), architecture.audit, number, [0] * 6) == ALLOW
    }
    always = set(seccomp.CALLS) - seccomp.CONDITIONS.keys()

    # Zeroes mean: read only, no execution.
    harmless = always | {"openat", "mmap", "mprotect"}
    assert allowed == {architecture.numbers[name] for name in harmless if name in architecture.numbers}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_by_another_table_end_the_process(machine: str) -> None:
    assert {verdict(seccomp.program(machine), 0x40000003, number, [0] * 6) for number in range(500)} == {KILL_PROCESS}


@pytest.mark.parametrize(("machine", "missing"), [("x86_64", set()), ("aarch64", {"epoll_wait", "poll"})])
def test_what_a_machine_lacks_it_has_by_another_name(machine: str, missing: set[str]) -> None:
    numbers = ARCHITECTURES[machine].numbers

    assert set(seccomp.CALLS) - numbers.keys() == missing
    assert {"epoll_pwait", "ppoll"} <= numbers.keys()


def test_landlock_is_said_to_be_missing_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(landlock, "version", missing)
    from pingsock.service import sandbox

    assert sandbox._landlock() == "none (Function not implemented)"


def test_a_required_sandbox_that_cannot_be_had_is_a_reason_not_to_start() -> None:
    code = (
        "from pingsock.service import sandbox, seccomp\n"
        "seccomp.ARCHITECTURES.clear()\n"
        "try: sandbox.enter('required')\n"
        "except sandbox.NoSandbox as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "--sandbox=required: no filter of system calls: none (no numbers" in done.stdout, done.stderr


def test_without_a_sandbox_it_still_has_no_capability() -> None:
    with running_service("", sandbox="off") as service:
        fields = fields_of(service.pid)
        assert (fields["Seccomp"], int(fields["CapPrm"], 16), fields["NoNewPrivs"]) == ("0", 0, "1")


def test_it_ends_with_status_0_when_told_to() -> None:
    with running_service("") as service:
        assert service.stop() == 0
    with running_service("") as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(10) == 0


def test_a_dead_services_path_is_taken_over_and_a_living_ones_is_not() -> None:
    with running_service("") as service:
        service.kill()
        service.start()
        second = subprocess.run(service._command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "Address already in use" in second.stderr
        assert service.status()["connections"] == 1


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    from pingsock.service.listening import listen_at

    file = tmp_path / "precious"
    file.write_text("data")
    with pytest.raises(OSError, match="cannot listen at"):
        listen_at(os.fspath(file))
    assert file.read_text() == "data"


def test_everybody_reaches_the_socket_whatever_the_umask(tmp_path: Path) -> None:
    from pingsock.service.listening import listen_at

    path = tmp_path / "made" / "service.sock"
    mask = os.umask(0o077)
    try:
        listen_at(os.fspath(path)).close()
    finally:
        os.umask(mask)
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o755, 0o666)


def test_systemd_can_pass_the_socket(tmp_path: Path) -> None:
    code = (
        "import os, socket, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='x')\n"
        "from pingsock.service.listening import activated_listener\n"
        "listener = activated_listener()\n"
        "print(listener.getsockname(), os.get_inheritable(3), 'LISTEN_FDS' in os.environ)\n"
    )
    for kind, expected in ((socket.SOCK_SEQPACKET, 0), (socket.SOCK_STREAM, 1)):
        with socket.socket(socket.AF_UNIX, kind) as listener:
            listener.bind(os.fspath(tmp_path / str(int(kind))))
            listener.listen()
            done = subprocess.run(
                [sys.executable, "-c", code, str(listener.fileno())],
                pass_fds=[listener.fileno()],
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == expected, done.stderr
        assert expected or done.stdout.split()[1:] == ["False", "False"]
