"""All served sockets of a program and its descendants, each until the last of its descriptors is closed."""

from __future__ import annotations

import select

from pingsock.run.descriptors import still_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pingsock.run.served_file import ServedFile
    from pingsock.run.watchdog import Watchdog


class ServedFiles:
    """Finds them by the program's descriptor and by the server's; iterates over all."""

    def __init__(self, events: select.epoll, watchdog: Watchdog, *, may_borrow: bool) -> None:
        """`events` watches the server's descriptors. `may_borrow`: the program's can be had at any time."""
        self._events = events
        self._watchdog = watchdog
        self.may_borrow = may_borrow
        self._by_inode: dict[int, ServedFile] = {}
        """By the inode of the program's descriptor."""
        self._by_readiness: dict[int, ServedFile] = {}

    def __len__(self) -> int:
        return len(self._by_inode)

    def __iter__(self) -> Iterator[ServedFile]:
        return iter(tuple(self._by_inode.values()))

    def __contains__(self, file: ServedFile) -> bool:
        return self._by_inode.get(file.channel.inode) is file

    def of_inode(self, inode: int) -> ServedFile | None:
        """Whose program end has that inode."""
        return self._by_inode.get(inode)

    def of_readiness(self, descriptor: int) -> ServedFile | None:
        """Which of them the server tells of at this descriptor."""
        return self._by_readiness.get(descriptor)

    def add(self, file: ServedFile) -> None:
        """One that is to be given to the program."""
        descriptor = file.connection.readiness.fileno()
        self._by_inode[file.channel.inode] = file
        self._by_readiness[descriptor] = file
        self._events.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def given(self, file: ServedFile) -> None:
        """The program has its descriptor."""
        if self.may_borrow:
            file.channel.forget_program_end()
        self._watchdog.add(file.channel)

    def forget(self, file: ServedFile) -> None:
        """End one."""
        descriptor = file.connection.readiness.fileno()
        del self._by_inode[file.channel.inode]
        del self._by_readiness[descriptor]
        self._events.unregister(descriptor)
        self._watchdog.remove(file.channel)
        file.close()

    def forget_closed(self, in_use: set[ServedFile]) -> None:
        """End those that no process has a descriptor of any more, and that are not in use."""
        for file in set(self) - in_use - self._held():
            self.forget(file)

    def _held(self) -> set[ServedFile]:
        if self.may_borrow:
            return {file for file in self if file.channel.is_held()}
        return {self._by_inode[inode] for inode in still_open({file.channel.inode: file.last_thread for file in self})}

    def close(self) -> None:
        """End all."""
        for file in self:
            self.forget(file)
