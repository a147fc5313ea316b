"""Names resolved beside the work, so that a slow name server delays nobody but those who asked.

getaddrinfo() blocks for as long as the resolver's timeouts last, and nothing can end it earlier. So names are looked up
by a bounded number of threads, and what could not be found is a value like any other: a bad name costs only itself.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from pingsock.probe.records import Unresolved
from pingsock.tools.destination import UnknownHost, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from pingsock.tools.destination import Destination

    Found = tuple[Destination, ...]

THREADS = 16
"""Names looked up at once."""


def look_up(name: str, family: int = 0, *, every_address: bool = False) -> Found | Unresolved:
    """The first address of a name or literal, in the resolver's order, or all, each once; of `family` unless 0.

    Blocks as long as the C library's resolver does.
    """
    try:
        found = resolve(name, family)
    except UnknownHost as unknown:
        return Unresolved(name, unknown.reason)
    if not every_address:
        return (found[0],)
    return tuple({(destination.family, destination.address): destination for destination in found}.values())


async def look_up_async(
    name: str, family: int = 0, *, every_address: bool = False, executor: ThreadPoolExecutor | None = None
) -> Found | Unresolved:
    """As `look_up`, in a thread of `executor` or of the event loop's own."""
    from asyncio import get_running_loop  # lazy: who gets here has imported it

    return await get_running_loop().run_in_executor(
        executor, lambda: look_up(name, family, every_address=every_address)
    )


class Resolver:
    """Looks names up in its threads. Use it in a `with` block, or close it.

    `tag` is whatever the caller wants to find again with the answer. Answers come in the order they are found.
    """

    def __init__(
        self,
        family: int = 0,
        *,
        every_address: bool = False,
        threads: int = THREADS,
        look_up: Callable[..., Found | Unresolved] = look_up,
        on_answer: Callable[[], object] | None = None,
    ) -> None:
        """`on_answer` is called with each answer, in the thread that found it."""
        self._family = family
        self._every_address = every_address
        self._threads = threads
        self._look_up = look_up
        self._on_answer = on_answer
        self._pool: ThreadPoolExecutor | None = None
        self._asked: dict[Future[Found | Unresolved], tuple[str, object]] = {}

    @property
    def pending(self) -> int:
        """Names whose answers were not taken yet."""
        return len(self._asked)

    @property
    def has_room(self) -> bool:
        """Whether another name would be of use: each thread should find its next one, and no more."""
        return len(self._asked) < 2 * self._threads

    def ask(self, name: str, tag: object = None) -> None:
        """Look a name up; returns at once."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "pingsock-names")
        future = self._pool.submit(self._look_up, name, self._family, every_address=self._every_address)
        self._asked[future] = name, tag
        if self._on_answer is not None:
            future.add_done_callback(self._answered)

    def _answered(self, _future: Future[Found | Unresolved]) -> None:
        if self._on_answer is not None:
            self._on_answer()

    def answers(self, timeout: float | None = 0.0) -> list[tuple[str, object, Found | Unresolved]]:
        """What was found meanwhile: name, tag and addresses. Waits so many seconds for the first, None for ever."""
        if not self._asked:
            return []
        done = wait(self._asked, timeout, FIRST_COMPLETED).done
        return [(*self._asked.pop(future), future.result()) for future in [*self._asked] if future in done]

    def close(self) -> None:
        """Forget what was asked. A thread that waits for a name server ends when that has answered. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._asked.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.close()


def resolve_all(
    names: Iterable[str], family: int = 0, *, every_address: bool = False, threads: int = THREADS
) -> Iterator[tuple[str, Found | Unresolved]]:
    """Each name with its addresses, in the order they are found; `names` is read as answers are taken."""
    with Resolver(family, every_address=every_address, threads=threads) as resolver:
        for name in names:
            resolver.ask(name)
            if not resolver.has_room:
                yield from _without_tags(resolver)
        while resolver.pending:
            yield from _without_tags(resolver)


def _without_tags(resolver: Resolver) -> list[tuple[str, Found | Unresolved]]:
    return [(name, found) for name, _, found in resolver.answers(None)]
