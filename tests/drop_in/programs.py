"""The two programs, `iputils` and `ours`, each called `ping`, `ping4` and `ping6` in a directory everybody may read."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pingsock

IPUTILS = "/usr/bin/ping"
SYSTEM_PYTHON = "/usr/bin/python3"
NAMES = ("ping", "ping4", "ping6")
NOBODY = "65534"
_LAUNCHER = f"#!{SYSTEM_PYTHON}\nfrom pingsock.cli.main import run\n\nrun()\n"
_WITHOUT_PRIVILEGES = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --bounding-set=-all --inh-caps=-all --"
_REQUIRED = ("ip", "setpriv", "nft", "env")


def missing_tools() -> str:
    """Why nothing can be compared here; "" if it can."""
    if os.geteuid():
        return "needs root to make network namespaces"
    missing = [path for path in (IPUTILS, SYSTEM_PYTHON, "/dev/net/tun") if not os.path.exists(path)]
    missing += [name for name in _REQUIRED if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


class Programs:
    """Copies: of Debian's ping without its file capabilities, and of ours where a user may read it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pingsock-drop-in-"))
        self.directory.chmod(0o755)
        self._install_iputils(self.directory / "iputils")
        self._install_ours(self.directory / "ours")

    def _install_iputils(self, directory: Path) -> None:
        directory.mkdir()
        shutil.copy(IPUTILS, directory / NAMES[0])
        _link_names(directory)

    def _install_ours(self, directory: Path) -> None:
        source = Path(pingsock.__file__).parent
        shutil.copytree(source, directory / "pingsock", ignore=shutil.ignore_patterns("__pycache__"))
        (directory / NAMES[0]).write_text(_LAUNCHER)
        (directory / NAMES[0]).chmod(0o755)
        _link_names(directory)
        subprocess.run([SYSTEM_PYTHON, "-m", "compileall", "-q", str(directory)], check=True)

    def environment(self, program: str) -> dict[str, str]:
        """With a search path on which `ping` is that program."""
        here = str(self.directory / program)
        return {"PATH": f"{here}:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": here, "LANG": "C.UTF-8"}

    def close(self) -> None:
        shutil.rmtree(self.directory)


def as_user(words: list[str]) -> list[str]:
    """The command line that runs these words as somebody without any privilege; no process stays in between."""
    return [*_WITHOUT_PRIVILEGES.split(), *words]


def ignoring(signals: list[str], words: list[str]) -> list[str]:
    """The command line that runs these words as a shell without job control starts background programs."""
    return ["env", f"--ignore-signal={','.join(signals)}", *words] if signals else words


def _link_names(directory: Path) -> None:
    for name in NAMES[1:]:
        (directory / name).symlink_to(NAMES[0])
