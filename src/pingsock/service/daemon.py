"""`pingsockd`: from a process with privileges to a service without, and its life.

Theory of operation: it reads the configuration, listens, opens its raw sockets, and opens the group range to itself if
told to. Then it gives up user, groups and capabilities, and locks itself in. It serves until SIGTERM or SIGINT; SIGHUP
has it read the configuration again.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import socket
from errno import EPERM

from pingsock.service import sandbox
from pingsock.service.admission import most_connections
from pingsock.service.client import PRIVATE_NAME, SYSTEM_PATH
from pingsock.service.configuration import BadConfiguration, Configuration, load_configuration
from pingsock.service.guard import GuardedLink
from pingsock.service.listening import Manager, activated_listener, listen_at
from pingsock.service.privileges import Identity, give_up
from pingsock.service.rights import let_alarms_hurry
from pingsock.service.server import Server
from pingsock.stack.failure import in_words
from pingsock.stack.stack import PROTOCOLS
from pingsock.wire.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

GROUP_RANGE = "/proc/sys/net/ipv4/ping_group_range"
WANTED_DESCRIPTORS = 1 << 18
_FAMILY_NAMES = {int(socket.AF_INET): "IPv4", int(socket.AF_INET6): "IPv6"}
_CLOSED = (1, 0)


class CannotStart(Exception):
    """A service cannot start; the text says why, and what to do."""


class Settings(Value):
    """How a service is started."""

    configuration_path: str = ""
    """"" for the defaults, which let nobody in."""
    socket_path: str = ""
    identity: Identity | None = None
    """Whom to become; None: stay who we are."""
    opens_range: bool = False
    """Open the kernel's group range to the service's own group."""
    sandbox: str = sandbox.AUTO


def own_path() -> str:
    """Where a service of this user listens unless told otherwise. CannotStart if there is no place for one."""
    if os.geteuid() == 0:
        return SYSTEM_PATH
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime.startswith("/"):
        raise CannotStart("XDG_RUNTIME_DIR is not set: say where to listen with --socket")
    return f"{runtime}/{PRIVATE_NAME}"


def run(settings: Settings, write_line: Callable[[str], None]) -> None:
    """Start, serve, and return when told to stop.

    :raises CannotStart: OSError or BadConfiguration or NoSandbox as well, if that says it all.
    """
    configuration = _load(settings)
    manager = Manager()
    listener = activated_listener() or listen_at(settings.socket_path or own_path())
    _allow_descriptors()
    link = _open_link()
    if settings.opens_range:
        write_line(open_range(settings.identity.gid if settings.identity else os.getegid()))
    give_up(settings.identity)
    # Whatever finds names is loaded while libraries still can be.
    _knows_user("root")
    lends = _families_the_kernel_opens()
    if link is None and not lends:
        raise CannotStart("without CAP_NET_RAW nothing can be served, and the kernel opens us no socket to hand over")
    limit = most_connections()
    facts = {"serves": link is not None, "kernel_opens": lends, "sandbox": sandbox.enter(settings.sandbox)}
    server = Server(listener, link, configuration, write_line, facts, limit)
    _serve(server, settings, manager, write_line, _announcement(listener, facts))


def _serve(
    server: Server, settings: Settings, manager: Manager, write_line: Callable[[str], None], announcement: str
) -> None:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    let_alarms_hurry()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    server.watch(reader.fileno(), lambda: _obey(reader.recv(64), server, settings, write_line))
    write_line(announcement)
    manager.tell("READY=1")
    try:
        server.serve()
    finally:
        manager.tell("STOPPING=1")
        server.close()


def _noted(_number: int, _frame: object) -> None:
    """The loop hears of it through its descriptor."""


def _obey(signals: bytes, server: Server, settings: Settings, write_line: Callable[[str], None]) -> None:
    if signal.SIGTERM in signals or signal.SIGINT in signals:
        server.stop()
    elif signal.SIGHUP in signals:
        try:
            server.reload(_load(settings))
        except (OSError, BadConfiguration) as error:
            write_line(f"goes on with its old configuration: {in_words(error)}")
        else:
            write_line("has read its configuration again")


def _load(settings: Settings) -> Configuration:
    return load_configuration(settings.configuration_path) if settings.configuration_path else Configuration()


def _allow_descriptors() -> None:
    """As many as may be had: each client needs three."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, WANTED_DESCRIPTORS),) * 2)
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_link() -> GuardedLink | None:
    """None without CAP_NET_RAW: then sockets can only be handed over."""
    try:
        return GuardedLink.open()
    except OSError as error:
        if error.errno == EPERM:
            return None
        raise


def _knows_user(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _families_the_kernel_opens() -> list[str]:
    found = []
    for family, protocol in PROTOCOLS.items():
        try:
            socket.socket(family, socket.SOCK_DGRAM, protocol).close()
        except OSError:
            continue
        found.append(_FAMILY_NAMES[family])
    return found


def open_range(gid: int) -> str:
    """Let one group, the service's own, open ping sockets of the kernel; what was done, as a sentence.

    A range that is open already is left as it is. CannotStart if it is for other groups, who would lose it.
    """
    with open(GROUP_RANGE, encoding="utf-8") as file:
        low, high = map(int, file.read().split())
    if low <= gid <= high:
        return f'net.ipv4.ping_group_range is "{low} {high}", which admits group {gid} already'
    if (low, high) != _CLOSED:
        raise CannotStart(
            f'--group-range: net.ipv4.ping_group_range is "{low} {high}", for others than group {gid};'
            " they would lose it. Widen or close it yourself"
        )
    try:
        with open(GROUP_RANGE, "w", encoding="utf-8") as file:
            file.write(f"{gid} {gid}")
    except OSError as error:
        raise CannotStart(f"--group-range: {GROUP_RANGE} cannot be written: {error.strerror}") from error
    return f'has set net.ipv4.ping_group_range to "{gid} {gid}": the kernel opens ping sockets to this service alone'


def _announcement(listener: socket.socket, facts: dict[str, Any]) -> str:
    place = os.fsdecode(listener.getsockname())
    locked = facts["sandbox"]
    lends = " and ".join(facts["kernel_opens"]) or "nothing"
    return (
        f"listens at {place}; serves: {'yes' if facts['serves'] else 'no'}; can hand over: {lends};"
        f" uid {locked['uid']}, seccomp {locked['seccomp']}, landlock {locked['landlock']}"
    )
