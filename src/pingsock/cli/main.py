"""`pingsock COMMAND ...`: finds the command and imports nothing else.

Called by the name of a command, as a link `ping`, `ping4` or `ping6` would, it is that command.

Some facts about the start and the end of Python
------------------------------------------------

* While modules are imported the garbage collector runs again and again, finds nothing, and takes a tenth of the
  start-up of `ping -c 1`.
* Taking the interpreter apart at the end takes another seventh. The kernel does it for nothing.

What this means here
--------------------

There is no collection during the import of a command, and the program leaves through `os._exit` when the command has
returned its status. `main` itself does neither harm nor good to a process that calls it as a function.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

COMMANDS = {
    "ping": "pingsock.cli.ping",
    "doctor": "pingsock.cli.doctor",
    "serve": "pingsock.cli.serve",
    "run": "pingsock.cli.run",
    "sweep": "pingsock.cli.sweep",
}
"""Command -> the module whose `main(arguments, name)` runs it and returns the exit status."""

LINKS = {"ping": "ping", "ping4": "ping", "ping6": "ping", "pingsockd": "serve"}
"""Names this program may be called by -> command."""


def run() -> NoReturn:
    """Run the process' command line and leave with its status, at once."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            # None if the descriptor was closed before we started.
            if stream is not None:
                stream.flush()
        except OSError:
            status = status or 1
    os._exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: the process'), and return the exit status."""
    program, *arguments = sys.argv if argv is None else argv
    name = program.rpartition("/")[2]
    if name in LINKS:
        return _run(LINKS[name], name, arguments)
    if arguments and arguments[0] in COMMANDS:
        return _run(arguments[0], arguments[0], arguments[1:])
    return _no_command(arguments)


def _run(command: str, name: str, arguments: list[str]) -> int:
    module = COMMANDS[command]
    if command in ("ping", "sweep"):
        from pingsock.cli.interrupts import obey_as_c_programs_do  # lazy: other commands have their own ways

        # An interrupt during the imports would be a traceback.
        obey_as_c_programs_do()
    _import_without_collections(module)
    status: int = sys.modules[module].main(arguments, name)
    return status


def _import_without_collections(module: str) -> None:
    collecting = gc.isenabled()
    gc.disable()
    try:
        __import__(module)
    finally:
        if collecting:
            gc.freeze()
            gc.enable()


def _no_command(arguments: list[str]) -> int:
    if arguments in (["-V"], ["--version"]):
        from pingsock import __version__  # lazy: not needed to run a command

        sys.stdout.write(f"pingsock {__version__}\n")
        return 0
    wanted_help = arguments in (["-h"], ["--help"])
    stream = sys.stdout if wanted_help else sys.stderr
    stream.write(f"usage: pingsock COMMAND [argument ...]\ncommands: {', '.join(COMMANDS)}\n")
    return 0 if wanted_help else 2
