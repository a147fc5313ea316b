"""How `pingsock run` ends: as its program does, whatever happens to either, and to the service."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import struct
import subprocess

import pytest

from cli.ping_network import AS_USER, Result, result_of, wait_for_line
from run.programs import CLOSED, WAYS, RunNetwork

FIRST_REPLY = b"64 bytes"
OF_NET_RAW = struct.pack("=5I", 0x02000001, 1 << 13, 0, 0, 0)
"""struct vfs_cap_data of linux/capability.h: CAP_NET_RAW permitted and effective."""


def ping(network: RunNetwork, *arguments: str) -> list[str]:
    return [str(network.programs / "ping"), *arguments]


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9), ("exit 255", 255)],
)
def test_the_status_is_the_programs(network: RunNetwork, script: str, status: int) -> None:
    assert network.supervised(["sh", "-c", script]) == Result("", "", status)


def test_a_program_that_is_not_there(network: RunNetwork) -> None:
    network.set_range(CLOSED)
    words = network.pingsock("run", "-S", network.socket_path("served"), "--", "no-such-program")

    assert result_of(network.start(words)) == Result(
        "", "pingsock run: no-such-program: No such file or directory\n", 127
    )


def test_a_program_that_is_none(network: RunNetwork) -> None:
    network.set_range(CLOSED)
    words = network.pingsock("run", "-S", network.socket_path("served"), "/etc/passwd")

    assert result_of(network.start(words)) == Result("", "pingsock run: /etc/passwd: Permission denied\n", 126)


def test_a_program_that_the_kernel_refuses(network: RunNetwork, tmp_path_factory: pytest.TempPathFactory) -> None:
    network.set_range(CLOSED)
    locked = tmp_path_factory.mktemp("locked")
    program = network.programs / "capable"
    shutil.copy("/bin/true", program)
    os.setxattr(program, "security.capability", OF_NET_RAW)
    ours = [*network.pingsock("run", "-S", network.socket_path("served")), "capable"]
    path = [*AS_USER, "/usr/bin/env", f"PATH={locked}:{network.programs}"]

    assert result_of(network.start([*path, "/usr/bin/env", "capable"])).status == 126
    assert result_of(network.start([*path, *ours])) == Result(
        "", "pingsock run: capable: Operation not permitted\n", 126
    )


def test_no_way_to_a_ping_socket(network: RunNetwork) -> None:
    network.set_range(CLOSED)
    words = [*AS_USER, *network.pingsock("run", "-S", "/nowhere", "true")]
    result = result_of(network.start(words))

    assert result.status == 125
    assert "no kind of ping socket can be opened here" in result.err
    assert "no service of ping sockets listens at /nowhere" in result.err


@pytest.mark.parametrize("arguments", [[], ["-v"], ["-x", "true"], ["-S"]])
def test_a_command_line_that_names_no_program(network: RunNetwork, arguments: list[str]) -> None:
    result = result_of(network.start(network.pingsock("run", *arguments)))

    assert result.status == 125
    assert "Usage: pingsock run" in result.err


@pytest.mark.parametrize("options", [["-S{}"], ["-vS{}"], ["-v", "-S", "{}", "--"], ["-S", "{}", "-v"]])
def test_our_options_stand_before_the_program(network: RunNetwork, options: list[str]) -> None:
    network.set_range(CLOSED)
    ours = [option.format(network.socket_path("served")) for option in options]
    result = result_of(network.start([*AS_USER, *network.pingsock("run", *ours, "echo", "-v", "--", "-S")]))

    assert (result.out, result.status) == ("-v -- -S\n", 0)
    assert result.err == ("pingsock run: the service serves ping sockets\n" if "v" in options[0] + options[-1] else "")


def test_the_service_is_found_by_the_environment(network: RunNetwork) -> None:
    network.set_range(CLOSED)
    environment = [*AS_USER, "env", f"PINGSOCK_SOCKET={network.socket_path('served')}"]
    result = result_of(network.start([*environment, *network.pingsock("run", *ping(network, "-qc1", "10.77.2.2"))]))

    assert "1 received" in result.out


def test_file_capabilities_are_not_used(network: RunNetwork) -> None:
    network.set_range(CLOSED)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    words = network.pingsock("run", "-S", network.socket_path("served"), "/usr/bin/ping", "-v", "-c", "1", "10.77.2.2")
    result = result_of(network.start([*user, *words]))

    assert "socktype: SOCK_DGRAM" in result.out + result.err
    assert "1 received" in result.out


def test_signals_sent_to_us_reach_the_program(network: RunNetwork) -> None:
    process = network.start_supervised(ping(network, "-i", "0.2", "10.77.2.2"))
    wait_for_line(process, FIRST_REPLY)
    process.send_signal(signal.SIGQUIT)
    assert process.stderr is not None
    assert re.match(rb"\d+/\d+ packets, 0% loss", process.stderr.readline().lstrip(b"\r"))
    process.send_signal(signal.SIGINT)
    out, _err = process.communicate(timeout=10)

    assert b"0% packet loss" in out
    assert process.returncode == 0


def test_a_fatal_signal_ends_both(network: RunNetwork) -> None:
    process = network.start_supervised(ping(network, "-i", "0.2", "10.77.2.2"))
    wait_for_line(process, FIRST_REPLY)
    process.terminate()
    process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM


def test_a_key_on_the_terminal_reaches_the_program_once(network: RunNetwork) -> None:
    controller, terminal = pty.openpty()
    script = "import signal, time; n = []; signal.signal(2, lambda *_: n.append(1)); print('ready', flush=True)\n"
    script += "time.sleep(.3)\ntime.sleep(.3)\nprint(len(n), flush=True)"
    process = network.start_supervised(
        ["/usr/bin/python3", "-c", script],
        stdin=terminal,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(terminal)
    wait_for_line(process, b"ready")
    os.write(controller, b"\x03")
    out, _err = process.communicate(timeout=10)
    os.close(controller)

    assert out == b"1\n"
    assert process.returncode == 0


def test_it_waits_for_the_programs_descendants_which_may_have_sockets_too(network: RunNetwork) -> None:
    program = network.programs / "ping"
    result = network.supervised(["sh", "-c", f"(sleep 0.2; {program} -q -c 1 10.77.2.2) & exit 3"])

    assert "1 received" in result.out
    assert result.status == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_for_descendants_alone_it_ends_when_told(network: RunNetwork, number: int) -> None:
    script = f"{network.programs / 'ping'} -i 0.2 10.77.2.2 & echo pid $!; exit 3"
    process = network.start_supervised(["sh", "-c", script])
    descendant = int(wait_for_line(process, b"pid").split()[-1])
    wait_for_line(process, FIRST_REPLY)
    process.send_signal(number)

    assert process.wait(timeout=10) == 3
    os.kill(descendant, signal.SIGTERM)
    process.communicate(timeout=10)


def test_a_supervisor_in_a_supervisor_is_not_needed_and_does_no_harm(network: RunNetwork) -> None:
    inner = network.pingsock("run", "-S", network.socket_path("served"), "--", *ping(network, "-q", "-c1", "10.77.2.2"))
    result = network.supervised(inner)

    assert "1 received" in result.out
    assert result.status == 0


def test_where_the_kernel_gives_sockets_the_program_takes_our_place(network: RunNetwork) -> None:
    network.set_range("0 65534")
    words = [*AS_USER, *network.pingsock("run", "-v", "sh", "-c", "cat /proc/$$/status")]
    process = network.start(words)
    out, err = process.communicate(timeout=10)

    assert err == b"pingsock run: the kernel gives this program ping sockets itself\n"
    assert re.search(rb"(?m)^Seccomp:\s+0$", out)


def test_without_its_supervisor_a_program_ends_by_itself(network: RunNetwork) -> None:
    script = f"echo pid $$; exec {network.programs / 'ping'} -i 0.2 10.77.2.2"
    process = network.start_supervised(["sh", "-c", script], "embedded")
    program = int(wait_for_line(process, b"pid").split()[-1])
    wait_for_line(process, FIRST_REPLY)
    process.kill()
    # ping counts as lost what it cannot send; what matters is that it does not hang.
    os.kill(program, signal.SIGINT)
    out, _err = process.communicate(timeout=10)

    assert b"packet loss" in out


def test_a_service_that_is_gone_is_an_error_on_the_socket_and_a_new_one_is_found(network: RunNetwork) -> None:
    script = (
        "import select, socket, sys\n"
        "def opened(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\n"
        "one = opened(); one.connect(('10.77.2.2', 1)); print('ready', flush=True)\n"
        "print(len(select.select([one], [], [], 10)[0]), flush=True)\n"
        "try: one.recv(100)\nexcept OSError as error: print(error.errno, flush=True)\n"
        "sys.stdin.read(1); two = opened(); two.connect(('10.77.2.2', 1)); two.send(b'\\x08' + bytes(7))\n"
        "print(len(two.recv(100)), flush=True)\n"
    )
    with network.service("fresh") as service:
        process = network.start_supervised(["/usr/bin/python3", "-c", script], "fresh", stdin=subprocess.PIPE)
        wait_for_line(process, b"ready")
        service.kill()
        service.wait()
    with network.service("fresh"):
        out, err = process.communicate(b"x", timeout=10)

    assert (out, err) == (b"1\n104\n8\n", b"")


def test_a_program_nobody_may_look_into_hears_the_kernels_answer(network: RunNetwork, exercise: str) -> None:
    hidden = network.programs / "hidden"
    shutil.copyfile(exercise, hidden)
    hidden.chmod(0o711)
    result = network.supervised([str(hidden), "creation"])

    assert "recv: EBADF" in result.out
    # Unless there is a socket to hand over, with which we have nothing to do any more.
    assert "recv: EAGAIN" in network.supervised([str(hidden), "creation"], "borrowed").out


@pytest.mark.parametrize("way", ["served", "confined", "borrowed"])
def test_closed_sockets_count_against_no_quota(network: RunNetwork, way: str) -> None:
    # More than the service lends one user at once.
    script = (
        "import socket\n"
        "for _ in range(1100): socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()\n"
        "print('enough')"
    )

    assert network.supervised(["/usr/bin/python3", "-c", script], way).out == "enough\n"


def test_sockets_closed_all_at_once_make_room_at_once(network: RunNetwork) -> None:
    # close_range(2) tells nobody.
    script = (
        "import os, socket\n"
        "def one(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).detach()\n"
        "def fill():\n"
        "    opened = []\n"
        "    try:\n"
        "        while True: opened.append(one())\n"
        "    except OSError as error: print(len(opened), error.strerror)\n"
        "    os.closerange(min(opened), max(opened) + 1)\n"
        "fill()\n"
        "fill()\n"
    )

    with network.service("fresh", quota=200):
        result = network.supervised(["/usr/bin/python3", "-c", script], "fresh")
    assert (result.out, result.err) == ("200 Too many open files\n" * 2, "")


FILLS = """\
import os, socket
def one(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
filled, let_filled_go_on = os.pipe(), os.pipe()
is_child = not os.fork()
if is_child: os.close(let_filled_go_on[1])
else: os.read(filled[0], 1)
opened = []
try:
    while True: opened.append(one())
except OSError as error: print(error.strerror, flush=True)
if is_child: os.write(filled[1], b"."), os.read(let_filled_go_on[0], 1)
for each in opened:
    each.settimeout(5), each.bind(("127.0.0.1", 0)), each.sendto(b"\\x08" + bytes(7), ("127.0.0.1", 0)), each.recv(100)
if not is_child: os.close(let_filled_go_on[1]), os.wait()
"""
"""Two processes open as many sockets as they can, then use all of them."""


@pytest.mark.parametrize(
    ("way", "limit"),
    [("served", 100), ("borrowed", 100), ("embedded", 100), *[("confined", limit) for limit in range(100, 104)]],
)
def test_where_our_own_descriptors_are_used_up_the_sockets_there_are_go_on(
    network: RunNetwork, way: str, limit: int
) -> None:
    # What a socket takes of ours does not go into the limit evenly: once there would be nothing left.
    network.set_range(WAYS[way])
    words = network.through_run(["/usr/bin/python3", "-c", FILLS], way)
    result = result_of(network.start(["prlimit", f"--nofile={limit}:{limit}", *words]))

    assert result == Result("Too many open files\n" * 2, "", 0)


def test_idents_are_free_when_a_killed_program_is_gone(network: RunNetwork) -> None:
    script = f"{network.programs}/ping -e 5005 -c 1000 10.77.2.2 & sleep 0.3; kill -9 $!; wait; "
    script += f"{network.programs}/ping -q -e 5005 -c 1 10.77.2.2"
    result = network.supervised(["sh", "-c", script])

    assert "1 received" in result.out
    assert result.status == 0
