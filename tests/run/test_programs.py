"""Other unmodified programs print the same through `pingsock run` as on ping sockets of the kernel.

Some have faults of their own there, which are the same here: fping 5.1 waits for its own ident and so misses every
reply; traceroute takes the errno of an earlier probe's error for a failure to send, and shows that probe as lost, so
that what it prints depends on who is quicker unless it sends one probe at a time (-N 1).
"""

from __future__ import annotations

import re
import shlex
import shutil

import pytest

from cli.ping_network import masked
from run.programs import RunNetwork

COMMANDS = [
    "fping -c 2 -p 50 10.77.2.2 10.77.1.1",
    "fping -6 -c 2 -p 50 fd77:2::2",
    "fping -e -c 1 10.77.3.1",
    "traceroute -I -n -w 1,0,0 -N 1 10.77.2.2",
    "traceroute -I -n -w 1,0,0 -N 1 -q 1 10.77.2.2",
    "traceroute -6 -I -n -w 1,0,0 -N 1 fd77:2::2",
    "traceroute -I -n -w 1,0,0 -N 1 10.77.3.1",
    "traceroute -6 -I -n -w 1,0,0 -N 1 fd77:3::1",
    "traceroute -I -n -w 1,0,0 --mtu 10.77.2.2",
    "traceroute -I -n -N 1 -w 0.3,0,0 -m 3 10.77.3.99",
    "mtr --report -c 2 -i 0.2 -n 10.77.2.2",
    "mtr --report -c 2 -i 0.2 -n fd77:2::2",
    "mtr --report -c 1 -i 0.2 -n 10.77.3.1",
    "busybox ping -c 1 10.77.2.2",
    "toybox ping -c 2 -i 0.2 10.77.2.2",
    "toybox ping -c 2 -i 0.2 fd77:2::2",
    "toybox ping -f -c 20 10.77.2.2",
]
COPIED = ("fping", "mtr-packet")
"""Without their file capabilities, which would give them raw sockets where they run on the kernel alone."""

PYTHON_PROGRAM = """
import asyncio, select, socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
one.settimeout(5)
one.connect(("10.77.2.2", 1))
one.send(b"\\x08" + bytes(7) + b"python")
print(one.recv(100)[8:], one.getpeername(), one.type, one.proto, select.select([one], [], [], 0)[0])

async def main():
    loop = asyncio.get_running_loop()
    two = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
    two.setblocking(False)
    two.connect(("fd77:2::2", 1))
    for number in range(3):
        await loop.sock_sendall(two, b"\\x80" + bytes(6) + bytes([number]) + b"asyncio")
        print((await loop.sock_recv(two, 100))[7:])
asyncio.run(main())
"""
ICMPLIB_PROGRAM = """
from icmplib import multiping, ping
for host in ("10.77.2.2", "fd77:2::2", "10.77.3.1"):
    found = ping(host, count=2, interval=0.05, timeout=0.5, privileged=False)
    print(found.address, found.packets_sent, found.packets_received, found.is_alive)
for found in multiping(["10.77.2.2", "10.77.1.1", "fd77:1::1"], count=1, timeout=1, privileged=False):
    print(found.address, found.packets_received)
"""


def without_measured(text: str) -> str:
    for pattern, replacement in (
        (r"\d+\.\d+( ?ms)?", r"T\1"),
        (r"(?m)^Start: .*$", "Start"),
        (r"round-trip min/avg/max = [\d./]+ ms", "round trips"),
        (r"  +", " "),
        # Replies of two targets may come in either order.
        (r"(?m)^.* : \[\d+\], .*$\n", ""),
    ):
        text = re.sub(pattern, replacement, text)
    return masked(text)


def runnable(network: RunNetwork, command: str) -> list[str]:
    words = shlex.split(command)
    for program in (words[0], *COPIED):
        path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if path is None and (program == words[0] or "mtr" in words[0]):
            pytest.skip(f"needs {program}")
        if program in COPIED and path is not None and not (network.programs / program).exists():
            shutil.copyfile(path, network.programs / program)
            (network.programs / program).chmod(0o755)
    if words[0] in COPIED:
        words[0] = str(network.programs / words[0])
    return ["env", f"MTR_PACKET={network.programs / 'mtr-packet'}", *words]


def check_same(network: RunNetwork, words: list[str], way: str) -> None:
    of_kernel = network.on_kernel(words)
    ours = network.supervised(words, way)

    assert without_measured(ours.out) == without_measured(of_kernel.out)
    assert without_measured(ours.err) == without_measured(of_kernel.err)
    assert ours.status == of_kernel.status


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", ["served", "embedded"])
def test_programs_print_the_same(network: RunNetwork, way: str, command: str) -> None:
    check_same(network, runnable(network, command), way)


@pytest.mark.parametrize("target", ["10.77.2.2", "fd77:2::2"])
@pytest.mark.parametrize("way", ["served", "embedded"])
def test_traceroute_with_many_probes_at_once_finds_the_way(network: RunNetwork, way: str, target: str) -> None:
    result = network.supervised(["traceroute", "-I", "-n", "-w", "1,0,0", target], way)

    router = target.replace("2", "1")
    assert result.status == 0
    assert re.search(rf"(?m)^ 1  (\* )*{router} .*\n( 2 .*\n)? ?[ 23]  (\* )*{target} ", result.out), result.out


@pytest.mark.parametrize("way", ["served", "embedded", "borrowed"])
def test_a_python_program_prints_the_same(network: RunNetwork, way: str) -> None:
    check_same(network, ["/usr/bin/python3", "-c", PYTHON_PROGRAM], way)


@pytest.mark.parametrize("way", ["served", "embedded"])
def test_icmplib_without_privileges_prints_the_same(network: RunNetwork, way: str) -> None:
    library = pytest.importorskip("icmplib")
    directory = network.programs / "icmplib"
    if not directory.exists():
        shutil.copytree(library.__path__[0], directory)
    words = ["env", f"PYTHONPATH={network.programs}", "/usr/bin/python3", "-c", ICMPLIB_PROGRAM]
    check_same(network, words, way)
    assert "10.77.2.2 2 2 True" in network.supervised(words, way).out
