"""A Pinger for plain programs: one for the whole program, thousands of targets, from any thread.

A thread of its own does the probing, so measuring goes on whatever the program does. All methods may be called by any
thread. A target that is added again and again costs a record's worth of memory, never a descriptor: targets share
sockets, of which there is one for each family, and others only for settings that cannot travel with a packet.

Records wait in a backlog of bounded length. If nobody takes them the oldest are dropped, and `dropped` counts them;
statistics miss nothing, since they are kept where the probes are sent.
"""

from __future__ import annotations

import os
import threading
import warnings

from pingsock.probe.wakeable import WakeableProber
from pingsock.sockets.choose import KINDS
from pingsock.sockets.errors import PingsockError
from pingsock.tools.arguments import check_backlog, check_kinds, check_plan, check_probes, check_rate
from pingsock.tools.desk import BACKLOG, Call, Desk, PingerClosed, Watched
from pingsock.tools.echo import COUNT, INTERVAL, TIMEOUT
from pingsock.tools.intake import first_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from pingsock.probe.records import Record, Stray, Summary
    from pingsock.probe.result import PingResult
    from pingsock.probe.target import Target
    from pingsock.sockets.choose import PingSocket
    from pingsock.tools.arguments import ProbeArguments


class Pinger:
    """Pings any number of targets, each in its own interval, until it is closed. Use it in a `with` block.

    Iterating yields the records of all targets as they come, with a Summary when a target has ended or was removed,
    and ends when the Pinger is closed. With several iterating threads each record goes to one of them.
    """

    def __init__(self, *, rate: float = 0.0, backlog: int = BACKLOG, kinds: Sequence[str] = KINDS) -> None:
        """`rate` is the probes a second over all targets at most, 0 is no limit.

        :raises InvalidArgument: an argument is not what it must be.
        """
        settings = {"rate": check_rate(rate), "kinds": check_kinds(kinds)}
        self._work = _Work(check_backlog(backlog), settings)
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._work.run, name="pingsock-pinger", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._work.abandon()
            raise

    # Targets

    def add(
        self,
        host: str | Target,
        *,
        interval: float = INTERVAL,
        timeout: float = TIMEOUT,
        count: int = 0,
        **probes: Unpack[ProbeArguments],
    ) -> Watched:
        """Probe a host from now on, each `interval` seconds, `count` times or, with 0, until it is removed.

        Its first probe comes within an interval, so that those of many targets lie evenly. A name is looked up at once,
        by the calling thread. `probes` are the keyword arguments of `check_probes`.

        :raises InvalidArgument: an argument is not what it must be.
        :raises UnknownHost: the name has no address (of that family).
        :raises PingerClosed: it is closed.
        :raises NoPingSocket: no kind of socket can be opened here.
        """
        plan = check_plan(count=count, interval=interval, timeout=timeout, endless=True)
        watched = Watched(first_target(check_probes(**probes), host), self._work.lock)
        with self._own().lock:
            self._work.desk.watch(watched, plan)
        self._work.prober.wake()
        return watched

    def remove(self, watched: Watched) -> Summary:
        """Probe a target, which `add` returned, no more. Returns what became of it, however often it is called.

        :raises InvalidArgument: `add` of this Pinger did not return it.
        """
        with self._own().lock:
            summary = self._work.desk.remove(watched)
        self._work.prober.wake()
        return summary

    def ping(
        self,
        host: str | Target,
        *,
        count: int = COUNT,
        interval: float = INTERVAL,
        timeout: float = TIMEOUT,
        **probes: Unpack[ProbeArguments],
    ) -> PingResult:
        """As `pingsock.ping`, over the sockets there are. Its records go nowhere else.

        :raises InvalidArgument: an argument is not what it must be.
        :raises UnknownHost: the name has no address (of that family).
        :raises PingerClosed: it is closed, or was meanwhile.
        :raises NoPingSocket: no kind of socket can be opened here.
        """
        plan = check_plan(count=count, interval=interval, timeout=timeout)
        target = first_target(check_probes(**probes), host)
        done = threading.Event()
        call = Call(done.set)
        work = self._own()
        try:
            with work.lock:
                work.desk.call(call, target, plan)
            work.prober.wake()
            done.wait()
        finally:
            with work.lock:
                work.desk.hang_up(call)
        if not call.complete:
            work.desk.open()
        return call.result()

    def _own(self) -> _Work:
        if self._process != os.getpid():
            raise PingsockError("this Pinger belongs to the process this one was forked from; make a new one")
        return self._work

    # Records

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Record | Stray | Summary:
        """The next record; waits for it.

        :raises StopIteration: the Pinger is closed, and all records were taken.
        :raises NoPingSocket: no kind of socket can be opened here.
        """
        work = self._own()
        with work.lock:
            while not work.desk.backlog:
                if isinstance(work.desk.failure, PingerClosed):
                    raise StopIteration
                work.desk.open()
                work.arrived.wait()
            return work.desk.backlog.take()

    def take(self) -> list[Record | Stray | Summary]:
        """All records that wait, oldest first; does not wait itself."""
        with self._own().lock:
            return self._work.desk.backlog.take_all()

    @property
    def dropped(self) -> int:
        """Records that nobody took before the backlog was full."""
        return self._work.desk.backlog.dropped

    @property
    def sockets(self) -> tuple[PingSocket, ...]:
        """The sockets below, as they are now, e.g. to set an option this library has no name for."""
        with self._own().lock:
            return self._work.prober.sockets

    # The end

    def close(self) -> None:
        """Close all sockets and end the thread; whoever waits is told. Idempotent."""
        if self._process != os.getpid():
            return
        self._work.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        work = getattr(self, "_work", None)
        if work is not None and work.desk.failure is None and self._process == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            work.stop()


class _Work:
    """What the thread of a Pinger does. It knows nothing of the Pinger, which can be forgotten therefore."""

    def __init__(self, backlog: int, settings: dict[str, object]) -> None:
        self.prober = WakeableProber(**settings)
        self.desk = Desk(self.prober.engine, self.prober.course, backlog)
        self.lock = threading.RLock()
        """Held for everything but waiting."""
        self.arrived = threading.Condition(self.lock)

    def run(self) -> None:
        try:
            while self._turn():
                self.prober.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, others wait for this thread and must be told
            self._end(error)
        finally:
            self.prober.close()

    def _turn(self) -> bool:
        """One turn of work; False if it was the last one."""
        with self.lock:
            if self.desk.failure is not None:
                return False
            self.desk.deliver(self.prober.work())
            if self.desk.backlog:
                self.arrived.notify_all()
        return True

    def _end(self, failure: Exception) -> None:
        with self.lock:
            self.desk.end(failure)
            self.arrived.notify_all()

    def abandon(self) -> None:
        """There is no thread."""
        self._end(PingerClosed())
        self.prober.close()

    def stop(self) -> None:
        """Let the thread end."""
        self._end(PingerClosed())
        self.prober.wake()
