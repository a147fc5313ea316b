"""A network that runs by itself, in real time, in a thread of its own."""

from __future__ import annotations

import select
import threading
import time
from concurrent.futures import Future, wait
from typing import TypeVar

from pingsock.lab.drive import Driver
from pingsock.lab.wake_up import WakeUp
from pingsock.link.cable import MemoryCable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from pingsock.lab.attach import Attachment
    from pingsock.lab.network import Network

T = TypeVar("T")

_NOT_RUNNING = "the lab's thread is not running"


class LabThread:
    """Runs a network while a `with` block lasts.

    Packets from memory cables and calls made with `do` are done by the thread; so is everything else, and the network
    must not be touched otherwise meanwhile. An exception in the thread ends it and is raised again when the block
    is left.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._driver = Driver(network)
        self._thread = threading.Thread(target=self._run, name="pingsock lab", daemon=True)
        self._calls: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._wake_up = WakeUp()
        if not self.network.epoch:
            self.network.epoch = time.time() - time.monotonic()
        for attached in self.network.attachments:
            if isinstance(attached.cable, MemoryCable):
                attached.cable.on_packet = self._entrance(attached)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping = True
        self._wake_up.give()
        self._thread.join()
        for attached in self.network.attachments:
            attached.connect()
        self._wake_up.close()
        if self._failure is not None:
            raise self._failure

    def do(self, call: Callable[[], T]) -> T:
        """Let the thread make a call, such as `lambda: link.change(loss=1.0)`; its result, or what it raised.

        RuntimeError outside the `with` block, or after an exception has ended the thread.
        """
        if not self._thread.is_alive():
            raise RuntimeError(_NOT_RUNNING)
        future: Future[T] = Future()

        def make_it() -> None:
            try:
                future.set_result(call())
            except Exception as err:  # noqa: BLE001 - the caller gets it
                future.set_exception(err)

        self._submit(make_it)
        while self._thread.is_alive():
            done, _ = wait([future], timeout=0.1)
            if done:
                return future.result()
        raise RuntimeError(_NOT_RUNNING)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread ends by itself, which only an exception in it makes it do."""
        self._thread.join(timeout)

    def _entrance(self, attached: Attachment) -> Callable[[bytes], None]:
        return lambda packet: self._submit(lambda: attached.enter(packet, time.monotonic()))

    def _submit(self, call: Callable[[], object]) -> None:
        with self._lock:
            self._calls.append(call)
        self._wake_up.give()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        except BaseException as err:  # noqa: BLE001 - it is raised again in __exit__
            self._failure = err

    def _turn(self) -> None:
        filenos = [self._wake_up.fileno(), *self._driver.filenos()]
        # Not poll(2), whose timeout is whole milliseconds: delays would be wrong by up to one.
        readable, _, _ = select.select(filenos, [], [], self._timeout())
        for fileno in readable:
            if fileno == self._wake_up.fileno():
                self._wake_up.take()
            else:
                self._driver.receive(fileno)
        self._make_calls()
        self._driver.run(time.monotonic())

    def _timeout(self) -> float | None:
        at = self._driver.next_event()
        return None if at is None else max(0.0, at - time.monotonic())

    def _make_calls(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call()
