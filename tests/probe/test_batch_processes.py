"""A batch run over several processes tells what one socket tells, and leaves no process, thread or descriptor."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link.private_network import private_network
from pingsock.probe import batch_processes, batch_sharing
from pingsock.probe.batch_jobs import BatchRun
from pingsock.probe.batch_ledger import Group
from pingsock.probe.batch_messages import (
    BEGIN,
    ENDED,
    HAPPENED,
    HOLD,
    ITEM,
    NO_MORE,
    WANTED,
    frame,
    take_messages,
)
from pingsock.probe.batch_processes import LostProcess, ProcessWorker
from pingsock.probe.batch_replies import Replies, ScatteredReplies
from pingsock.probe.batch_targets import TargetBlock, ipv4_blocks
from pingsock.probe.batch_worker import Worker, main
from pingsock.probe.clock import MILLISECOND
from pingsock.probe.records import Duplicate, IcmpError, Late, Reply, SendFailure, Stray, Summary, Timeout, Unmeasured
from pingsock.probe.remote_courses import RemoteCourses
from pingsock.probe.schedule import Plan
from pingsock.probe.statistics import Statistics
from pingsock.probe.target import ProbeOptions, Target
from pingsock.sockets.errors import InvalidArgument, NoPingSocket
from probe.test_batch import LOOPBACK, by_target, far_hosts, open_range, target, told_by_batch, told_by_blocking

__all__ = ["open_range", "private_network"]

PATIENT = Plan(timeout_ns=800 * MILLISECOND, interval_ns=0, late_window_ns=1000 * MILLISECOND)
"""Nobody answers later than this who is not delayed by LATER_S seconds, however busy the machine is."""
LATER_S = 1.2
A_MINUTE = 60_000 * MILLISECOND
ALIKE: tuple[dict[str, int], ...] = ({}, {"jobs": 2}, {"processes": 2})
"""Ways to run that differ in nothing but speed."""
COUNTS = ("sent", "received", "late", "errors", "send_failures", "duplicates", "notes", "truncated", "altered", "lost")
SOURCE = Path(batch_processes.__file__).parents[2]
REPLY = Reply(target("10.0.0.1"), 1, 7, 5, ("10.0.0.1", 0), b"", 64, 1000, "kernel")


def final_counts(told: Iterable[Any]) -> dict[Target, tuple[int, ...]]:
    """What the summaries say when the run is over."""
    return {
        record.target: tuple(getattr(record.statistics, name) for name in COUNTS)
        for record in told
        if isinstance(record, Summary)
    }


def workers_of(run: BatchRun) -> list[ProcessWorker]:
    return [worker for worker in run._workers if isinstance(worker, ProcessWorker)]


def pids_of(run: BatchRun) -> list[int]:
    return [worker._process.pid for worker in workers_of(run) if worker._process is not None]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    descriptors, threads = set(os.listdir("/proc/self/fd")), threading.active_count()
    yield
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads


pytestmark = pytest.mark.usefixtures("nothing_is_left")


# Equal records


@pytest.mark.usefixtures("open_range")
def test_one_socket_threads_and_processes_tell_the_same_of_whatever_befalls_probes() -> None:
    with far_hosts("10.9.0.0/16", "2001:db8:9::/64") as (network, _):
        far = network.node("far")
        far.rule("drop", destination="10.9.1.0/28")
        far.rule({"do": "error", "fault": "3/13", "source": "10.66.0.1"}, destination="10.9.2.0/28")
        far.rule({"do": "duplicate", "copies": 2}, destination="10.9.3.0/28")
        far.rule({"do": "delay", "seconds": LATER_S}, destination="10.9.4.0/30")
        far.rule({"do": "change", "source": "10.9.7.7"}, destination="10.9.5.0/30")
        targets = [target(f"10.9.{third}.{fourth}") for third in range(6) for fourth in range(1, 64)]
        targets += [target(f"2001:db8:9::{number}") for number in range(1, 64)]
        targets += [target("10.66.1.1"), target("127.255.255.255"), target("::1")]
        told = [told_by_batch(targets, PATIENT.replace(retries=1), **ways) for ways in ALIKE]
    assert by_target(told[0]) == by_target(told[1]) == by_target(told[2])
    assert {Reply, Timeout, IcmpError, Duplicate, Late, SendFailure, Stray, Summary} <= {type(each) for each in told[2]}


@pytest.mark.usefixtures("open_range")
def test_what_comes_after_a_summary_is_counted_in_it() -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        network.node("far").rule({"do": "delay", "seconds": LATER_S}, destination="10.9.4.0/24")
        targets = [target(f"10.9.4.{number}") for number in range(1, 20)]
        # Whoever is retried longest keeps the run going until all that is late has come.
        network.node("far").rule("drop", destination="10.9.8.8")
        plan = PATIENT.replace(retries=2)
        told = [told_by_batch([*targets, target("10.9.8.8")], plan, **ways) for ways in ALIKE]
    counts = [final_counts(each) for each in told]
    assert counts[0] == counts[1] == counts[2]
    assert all(dict(zip(COUNTS, counts[2][each], strict=True))["late"] for each in targets)


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("processes", [2, 3])
def test_all_alive(processes: int) -> None:
    told = list(BatchRun(ipv4_blocks(LOOPBACK, 20_000), PATIENT, processes=processes))
    assert sum(len(each) for each in told if isinstance(each, Replies)) > 18_000
    replies = [record for each in told for record in (each if isinstance(each, Replies) else (each,))]
    alive = {reply.target: reply for reply in replies if isinstance(reply, Reply)}
    assert alive.keys() == {each for block in ipv4_blocks(LOOPBACK, 20_000) for each in block}
    for each, reply in alive.items():
        assert reply.source == each.address
        assert reply.sequence == int.from_bytes(reply.message[6:8], "big")
    assert final_counts(replies) == dict.fromkeys(alive, (1, 1, *[0] * (len(COUNTS) - 2)))


@pytest.mark.usefixtures("open_range")
def test_targets_come_back_as_they_were_given() -> None:
    options = [ProbeOptions(), ProbeOptions(hop_limit=7), ProbeOptions(hop_limit=8), ProbeOptions(size=1400)]
    targets = [
        Target(f"host {number}", AF_INET, (f"127.0.1.{number}", 0), options=options[number % 4])
        for number in range(1, 200)
    ]
    told = told_by_batch(targets, PATIENT, processes=2)
    assert by_target(told) == by_target(told_by_blocking(targets, PATIENT))
    assert {record.target for record in told if isinstance(record, Reply)} == set(targets)


@pytest.mark.usefixtures("open_range")
def test_several_probes_of_each_target() -> None:
    plan = PATIENT.replace(count=3, interval_ns=50 * MILLISECOND)
    told = [told_by_batch(ipv4_blocks(LOOPBACK, 60), plan, **ways) for ways in ALIKE]
    assert by_target(told[0]) == by_target(told[1]) == by_target(told[2])


@pytest.mark.usefixtures("open_range")
def test_no_targets() -> None:
    assert list(BatchRun([], Plan(), processes=2)) == []


@pytest.mark.usefixtures("open_range")
def test_without_summaries_there_are_none() -> None:
    told = list(
        BatchRun(ipv4_blocks(LOOPBACK, 300), PATIENT.replace(count=2, interval_ns=0), processes=2, summaries=False)
    )
    assert Counter(type(each) for each in told) == {Reply: 600}


# Limits


def test_the_rate_is_that_of_all_together() -> None:
    run = BatchRun([], Plan(rate=1000.0), processes=4)
    assert [worker._begin[0].rate for worker in workers_of(run)] == [250.0] * 4


@pytest.mark.usefixtures("open_range")
def test_targets_are_drawn_no_faster_than_results_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, full, pause = 0, threading.Event(), time.sleep

    def wait_for_room(seconds: float) -> None:
        full.set()
        pause(seconds)

    monkeypatch.setattr(batch_sharing, "sleep", wait_for_room)

    def blocks() -> Iterator[TargetBlock]:
        nonlocal drawn
        for block in ipv4_blocks(LOOPBACK, 1_000_000):
            drawn += len(block)
            yield block

    with BatchRun(blocks(), Plan(), processes=2) as run:
        told = sum(len(what) if isinstance(what, Replies) else 1 for _, what in run.step(A_MINUTE))
        assert full.wait(60)
        assert told < drawn < 600_000
        told += sum(len(what) if isinstance(what, Replies) else isinstance(what, Summary) for what in run)
    assert told == drawn == 1_000_000


@pytest.mark.usefixtures("open_range")
def test_no_target_begins_while_a_run_is_held() -> None:
    with BatchRun(ipv4_blocks(LOOPBACK, 100_000), PATIENT, processes=2) as run:
        run.hold(True)
        assert [run.step(20 * MILLISECOND) for _ in range(4)] == [[]] * 4
        run.hold(False)
        begun = run.step(A_MINUTE)
        assert begun
        run.hold(True)
        # What has begun comes to its end, and no more comes.
        told: list[Any] = [what for _, what in begun]
        while happened := run.step(400 * MILLISECOND):
            told += [what for _, what in happened]
        assert sum(len(what) if isinstance(what, Replies) else isinstance(what, Summary) for what in told) < 100_000
        run.hold(False)
        told += list(run)
    assert sum(len(what) if isinstance(what, Replies) else isinstance(what, Summary) for what in told) == 100_000


# Ends


@pytest.mark.usefixtures("open_range")
def test_nothing_is_left_of_a_run_that_is_left_in_the_middle() -> None:
    run = BatchRun(ipv4_blocks(LOOPBACK, 1_000_000), Plan(), processes=2)
    results = iter(run)
    next(results)
    pids = pids_of(run)
    results.close()  # type: ignore[attr-defined]
    assert len(pids) == 2
    assert all(map(is_gone, pids))
    run.close()


@pytest.mark.usefixtures("open_range")
def test_nothing_is_left_of_a_run_that_was_never_looked_at() -> None:
    with BatchRun(ipv4_blocks(LOOPBACK, 10), Plan(), processes=2) as run:
        assert run.busy
    run.hold(True)


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("kind", [LookupError, EOFError, ConnectionResetError])
def test_what_a_stream_raises_ends_the_run(kind: type[Exception]) -> None:
    def broken() -> Iterator[TargetBlock]:
        yield from ipv4_blocks(LOOPBACK, 20_000)
        raise kind("no more names")

    run = BatchRun(broken(), Plan(), processes=2)
    with pytest.raises(kind, match="no more names"):
        list(run)
    assert all(map(is_gone, pids_of(run)))


@pytest.mark.usefixtures("open_range")
@pytest.mark.parametrize("held", [False, True])
def test_a_process_that_is_killed_is_one_exception(held: bool) -> None:
    run = BatchRun(ipv4_blocks(LOOPBACK, 10_000_000), Plan(), processes=2)
    results = iter(run)
    next(results)
    run.hold(held)
    os.kill(pids_of(run)[1], signal.SIGKILL)
    with pytest.raises(LostProcess, match="was killed by SIGKILL; what it had under way is not known") as caught:
        list(results)
    assert (caught.value.pid, caught.value.status) == (pids_of(run)[1], -signal.SIGKILL)
    assert all(map(is_gone, pids_of(run)))


def test_a_process_that_ends_by_itself_is_told_with_its_status() -> None:
    lost = pickle.loads(pickle.dumps(LostProcess(17, 3)))
    assert "process 17 of this run ended with status 3" in str(lost)
    assert "signal 77" in str(LostProcess(17, -77))


@pytest.mark.usefixtures("private_network")
def test_without_a_socket_there_is_no_run() -> None:
    with pytest.raises(NoPingSocket) as caught:
        list(BatchRun(ipv4_blocks(LOOPBACK, 10), Plan(), processes=2, kinds=("kernel",)))
    assert [kind for kind, _ in caught.value.refusals] == ["kernel"]


@pytest.mark.usefixtures("open_range")
def test_a_failure_that_is_a_mistake_of_ours_tells_where_it_was() -> None:
    with pytest.raises(AttributeError) as caught:
        list(BatchRun([object()], Plan(), processes=2))  # type: ignore[list-item]
    broken = TargetBlock(AF_INET, ("no column",))  # type: ignore[arg-type]
    with pytest.raises((AttributeError, TypeError)) as caught_there:
        list(BatchRun([broken], Plan(), processes=2))
    assert not getattr(caught.value, "__notes__", [])
    assert "batch_worker.py" in caught_there.value.__notes__[0]


@pytest.mark.usefixtures("open_range")
def test_signals_to_a_whole_group_are_left_to_us() -> None:
    with BatchRun(ipv4_blocks(LOOPBACK, 1_000_000), Plan(), processes=2) as run:
        run.step(A_MINUTE)
        for pid in pids_of(run):
            status = Path(f"/proc/{pid}/status").read_text()
            blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
            assert all(blocked & 1 << number - 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


PROGRAM = """
import sys
from pingsock.probe.batch_jobs import BatchRun
from pingsock.probe.batch_targets import ipv4_blocks
from pingsock.probe.schedule import Plan

# No `if __name__ == "__main__"`: a process must not run this again.
run = BatchRun(ipv4_blocks(0x7F000001, 16_000_000), Plan(), processes=2)
results = iter(run)
next(results)
print(*[worker._process.pid for worker in run._workers], flush=True)
for _ in results:
    pass
"""


def open_process(pid: int) -> int | None:
    """None if it has ended by now."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def ended(ends: Callable[[subprocess.Popen[bytes]], None], text: str = PROGRAM) -> tuple[bytes, int]:
    """Run a program over two processes until it is ended: they are gone then. Errors and exit status."""
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        start_new_session=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stderr is not None
        processes = program.stdout.readline().split()
        assert len(processes) == 2
        watched = [descriptor for pid in processes if (descriptor := open_process(int(pid))) is not None]
        ends(program)
        errors = program.stderr.read()
        program.wait()
        # A pidfd is readable when its process has ended.
        for each in watched:
            assert select.select([each], [], [], 60)[0]
            os.close(each)
    return errors, program.returncode


@pytest.mark.usefixtures("open_range")
def test_processes_do_not_outlive_a_program_that_is_killed() -> None:
    _, status = ended(lambda program: program.kill())
    assert status == -signal.SIGKILL


@pytest.mark.usefixtures("open_range")
def test_a_program_that_fails_and_has_not_closed_its_run_ends() -> None:
    failing = PROGRAM.replace("    pass", "    raise KeyError")
    errors, status = ended(lambda _program: None, failing)
    assert status == 1
    assert errors.rstrip().endswith(b"KeyError")


@pytest.mark.usefixtures("open_range")
def test_an_interrupt_from_the_keyboard_is_one_exception() -> None:
    errors, status = ended(lambda program: os.killpg(program.pid, signal.SIGINT))
    assert status == -signal.SIGINT
    assert errors.count(b"Traceback") == 1
    assert errors.rstrip().endswith(b"KeyboardInterrupt")


# Bad arguments


@pytest.mark.parametrize("processes", [0, -1, 1.5, "2", None])
def test_a_number_of_processes_that_is_none(processes: Any) -> None:
    with pytest.raises(InvalidArgument, match="processes must be"):
        BatchRun([], Plan(), processes=processes)


def test_threads_and_processes_are_a_choice() -> None:
    with pytest.raises(InvalidArgument, match="several jobs"):
        BatchRun([], Plan(), processes=2, jobs=2)


def test_what_means_nothing_in_another_process_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="clock must be left out"):
        BatchRun([], Plan(), processes=2, clock=lambda: 0)


@pytest.mark.parametrize(("name", "content"), [("executable", ""), ("executable", None), ("frozen", True)])
def test_without_an_interpreter_there_are_no_processes(
    name: str, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, name, content, raising=False)
    with pytest.raises(InvalidArgument, match="processes"):
        BatchRun([], Plan(), processes=2)


# What is moved


@given(st.data())
def test_messages_are_taken_from_pieces_of_any_size(data: st.DataObject) -> None:
    messages = data.draw(st.lists(st.tuples(st.sampled_from([WANTED, HAPPENED, ITEM]), st.binary(max_size=40))))
    stream = b"".join(frame(*message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    received, taken = bytearray(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += stream[start:end]
        taken += take_messages(received)
    assert taken == messages
    assert not received


@given(st.sampled_from([AF_INET, AF_INET6]), st.booleans(), st.data())
def test_a_part_of_a_block_has_those_targets_in_that_order(family: int, named: bool, data: st.DataObject) -> None:
    text = "10.0.0.{}" if family == AF_INET else "fd00::{}"
    targets = [target(text.format(number)) for number in range(1, 21)]
    block = TargetBlock.from_targets(targets)
    if not named:
        block = TargetBlock(family, block.columns)
    numbers = data.draw(st.lists(st.integers(0, 19), max_size=20))
    assert list(block.part(numbers)) == [targets[number] for number in numbers]
    first, last = sorted(data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20))))
    assert list(block.part(range(first, last))) == targets[first:last]


@pytest.mark.usefixtures("open_range")
def test_replies_are_moved_as_they_are_in_any_order() -> None:
    with far_hosts("10.9.0.0/16") as (network, _):
        for last in range(4, 250, 8):
            network.node("far").rule({"do": "delay", "seconds": 0.03}, destination=f"10.9.1.{last}/31")
        first = int.from_bytes(bytes((10, 9, 1, 0)), "big")
        named = [Target(f"n{number}", AF_INET, (f"10.9.1.{number}", 0)) for number in range(250)]
        plan = PATIENT.replace(timeout_ns=2_000 * MILLISECOND)
        for targets in (ipv4_blocks(first, 250), named):
            for what in BatchRun(targets, plan):
                if isinstance(what, Replies):
                    moved = pickle.loads(pickle.dumps(what))
                    again = pickle.loads(pickle.dumps(moved))
                    assert list(moved) == list(again) == list(what)
                    assert moved.hosts() == what.hosts()
                    assert moved.targets() == what.targets()
                    assert list(moved.interpolated) == list(what.interpolated)
                    assert len(moved) == len(what)


def test_moved_replies_of_targets_of_several_kinds_are_those_of_these_targets() -> None:
    kinds = ProbeOptions(hop_limit=7), ProbeOptions(hop_limit=9)
    blocks = [next(ipv4_blocks(LOOPBACK + 256 * number, 9, kind)) for number, kind in enumerate(kinds)]
    groups = [Group(block, 2, 5, 100 * number, 0, 10, 1000, 0) for number, block in enumerate(blocks)]
    order = [(1, 103), (0, 1), (1, 100), (0, 4), (0, 0)]
    columns = array("i", range(500, 505)).tobytes(), bytes(range(60, 65)), bytes(range(10))
    replies = ScatteredReplies(
        [groups[number] for number, _ in order],
        [each for _, each in order],
        3,
        [*range(0, 50, 10)],
        *columns,
        bytes(64),
    )
    expected = [blocks[number].target(2 + each - 100 * number) for number, each in order]
    moved = pickle.loads(pickle.dumps(replies))
    for each in (replies, moved):
        assert each.targets() == [record.target for record in each if isinstance(record, Reply)] == expected
        assert each.hosts() == [target.host for target in expected]
        assert each.interpolated == [500, 491, 482, 473, 464]
    assert list(moved) == list(replies)


def test_moved_replies_are_small() -> None:
    sizes = []
    for count in (16, 256):
        block = next(ipv4_blocks(LOOPBACK, 4096)).part(range(count))
        columns = bytes(8 * count), bytes(count), bytes(2 * count)
        moved = Replies(block, 0, range(count), 0, range(0, count * 5, 5), *columns, bytes(64))
        sizes.append(len(pickle.dumps(moved, pickle.HIGHEST_PROTOCOL)))
    assert (sizes[1] - sizes[0]) / 240 < 16


# Courses of another process


def test_what_happens_to_a_course_happens_to_the_same_object() -> None:
    courses = RemoteCourses(100)
    silence = Timeout(REPLY.target, 1, 7, 5, 10)
    (first, _), (nobody, _) = courses.happenings(1, [(1, False, silence), (0, False, REPLY)])
    (again, _), (other, _) = courses.happenings(
        2, [(1, False, silence), (2, True, Summary(REPLY.target, Statistics()))]
    )
    assert first is again
    assert first is not other
    assert nobody is None
    assert len(courses) == 2


def test_what_was_told_with_a_summary_is_not_counted_twice() -> None:
    courses = RemoteCourses(100)
    statistics = Statistics()
    late = Late(*Late(**{**REPLY.as_dict(), "revises": "timeout"})._key())
    silence = Unmeasured(REPLY.target, 1, 7, 5, 10)
    statistics.enter(silence)
    statistics.enter(late)
    courses.happenings(1, [(1, True, silence), (1, True, Summary(REPLY.target, statistics)), (1, True, late)])
    assert (statistics.late, statistics.unmeasured, statistics.duplicates) == (1, 0, 0)
    more = Duplicate(**{name: content for name, content in REPLY.as_dict().items() if name in Duplicate._fields})
    courses.happenings(2, [(1, True, more)])
    assert (statistics.late, statistics.duplicates, statistics.sent) == (1, 1, 1)


def test_courses_that_have_ended_are_forgotten_when_nothing_can_be_heard_of_them() -> None:
    courses = RemoteCourses(100)
    for number in range(1, 1000):
        courses.happenings(number, [(number, True, Summary(REPLY.target, Statistics()))])
        assert len(courses) <= 103
    courses.happenings(5000, [])
    courses.happenings(5001, [])
    assert len(courses) == 0


# The other end of the socket


@pytest.mark.usefixtures("open_range")
def test_a_process_obeys_in_the_order_in_which_it_is_told() -> None:
    ours, theirs = socket.socketpair()
    beginning: tuple[Plan, dict[str, Any], bool] = (Plan(), {}, True)
    with ours, theirs:
        for kind, content in (
            (BEGIN, beginning),
            (ITEM, next(ipv4_blocks(LOOPBACK, 9))),
            (NO_MORE, None),
            (HOLD, False),
        ):
            ours.sendall(frame(kind, content))
        Worker(theirs).run()
        theirs.close()
        with ours.makefile("rb") as reader:
            told = bytearray(reader.read())
    assert [kind for kind, _ in take_messages(told)] == [WANTED, HAPPENED, ENDED]


def test_a_process_that_nobody_listens_to_ends() -> None:
    for message in (b"", frame(BEGIN, (Plan(), {}, False)), frame(BEGIN, (Plan(), {"kinds": ()}, False))):
        ours, theirs = socket.socketpair()
        ours.sendall(message)
        ours.close()
        main(theirs.detach())
