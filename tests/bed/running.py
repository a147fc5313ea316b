"""A service in a process of its own, started as root and running as somebody else, in this network namespace."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bed.child import Credentials, can_change_user
from pingsock.service.client import ServiceConnection, ask_status, connect_service

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE_USER = 64990
ORDINARY = Credentials()
PATIENCE = 20.0
START = "import sys; from pingsock.cli.main import main; sys.exit(main(['pingsockd', *sys.argv[1:]]))"


class RunningService:
    """The process, and what it is told."""

    def __init__(
        self,
        configuration: str,
        *arguments: str,
        sandbox: str = "required",
        descriptors: int = 0,
        under: tuple[str, ...] = (),
        listens_at: Path | None = None,
    ) -> None:
        """`under` is a command that starts the service's, and may listen for it."""
        self.directory = Path(tempfile.mkdtemp(prefix="pingsockd-"))
        self.directory.chmod(0o755)
        own_path = os.fspath(self.directory / "service.sock")
        self.path = own_path if listens_at is None else os.fspath(listens_at)
        self.configuration_path = self.directory / "pingsockd.toml"
        self.configuration_path.write_text(configuration)
        self.log_path = self.directory / "log"
        who = [f"--user={SERVICE_USER}:{SERVICE_USER}"] if can_change_user() else ["--stay-root"]
        self._command = [
            *under,
            *(["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []),
            *(sys.executable, "-c", START, "--config", os.fspath(self.configuration_path)),
            *("--socket", own_path, f"--sandbox={sandbox}", *who, *arguments),
        ]
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Again, after `stop` or `kill`."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self._command, stderr=log, cwd="/")
        self._wait_until(self._listens)

    def _wait_until(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.005)

    def _listens(self) -> bool:
        try:
            ask_status(self.path)
        except (FileNotFoundError, ConnectionError):
            return False
        return True

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(ask_status(self.path))
        return answer

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def reload(self, configuration: str) -> None:
        """Return when the service goes by it."""
        before = self.status()["reloads"]
        self.configuration_path.write_text(configuration)
        self.process.send_signal(signal.SIGHUP)
        self._wait_until(lambda: self.status()["reloads"] > before)

    def settled(self, connections: int) -> None:
        """Return when only so many connections are left, besides that which asks."""
        self._wait_until(lambda: self.status()["connections"] == connections + 1)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory)

    def connect(self, who: Credentials = ORDINARY) -> ServiceConnection:
        """A connection as somebody: the kernel tells the service who it was that connected."""
        with as_somebody(who):
            return connect_service(self.path)


@contextlib.contextmanager
def as_somebody(who: Credentials) -> Iterator[None]:
    """This process is somebody else for a while, as far as it can be."""
    if not can_change_user():
        yield
        return
    groups = os.getgroups()
    os.setgroups(who.groups)
    os.setegid(who.gid)
    os.seteuid(who.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@contextlib.contextmanager
def running_service(
    configuration: str,
    *arguments: str,
    sandbox: str = "required",
    descriptors: int = 0,
    under: tuple[str, ...] = (),
    listens_at: Path | None = None,
) -> Iterator[RunningService]:
    service = RunningService(
        configuration, *arguments, sandbox=sandbox, descriptors=descriptors, under=under, listens_at=listens_at
    )
    try:
        yield service
    finally:
        service.close()
