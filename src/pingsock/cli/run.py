"""`pingsock run`: an unmodified program, with its ping sockets lent by us."""

from __future__ import annotations

import os
import signal

from pingsock.cli.arguments import OptionReader, WrongUsage
from pingsock.cli.output import Output

USAGE = """\
Usage: pingsock run [-v] [-S path] [--] program [argument ...]

Runs a program that opens ping sockets, as ping, mtr and traceroute -I do, where the kernel has none
to give: they come from the service, or are served in this process if it has CAP_NET_RAW.

  -S path     where the service listens, instead of where services do
  -v          say where the program's ping sockets come from
  -h, --help  this text

Exit status: the program's, also if a signal ends it; 125 if there is no way to a ping socket,
126 if the program cannot be executed, 127 if there is none of that name.
"""
NOT_RUN = 125
WAYS_TOLD = {
    "kernel": "the kernel gives this program ping sockets itself",
    "borrowed": "the service hands over ping sockets of the kernel",
    "served": "the service serves ping sockets",
    "embedded": "ping sockets are served in this process",
}


def main(arguments: list[str], _called: str = "run") -> int:
    """Run the subcommand; the exit status."""
    output = Output("pingsock run")
    if arguments[:1] in (["-h"], ["--help"]):
        output.write(USAGE)
        return output.close(0)
    try:
        words, options = _command_line(arguments)
    except WrongUsage as error:
        output.warn(str(error.text))
        output.warn_plainly(USAGE)
        return NOT_RUN
    return _run(words, options, output)


def _command_line(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The program with its arguments, and our own options, which stand before it."""
    ours = _own(arguments)
    reader = OptionReader(arguments[:ours], "v", "S")
    options = dict(reader)
    words = [*reader.operands, *arguments[ours:]]
    if not words:
        raise WrongUsage("no program to run")
    return words, options


def _own(arguments: list[str]) -> int:
    """How many of the arguments are ours."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-") and arguments[at] != "-":
        if arguments[at] == "--":
            return at + 1
        # The value of -S is the rest of its word, or the next word.
        at += 2 if arguments[at].find("S") == len(arguments[at]) - 1 else 1
    return min(at, len(arguments))


def _run(words: list[str], options: dict[str, str], output: Output) -> int:
    from pingsock.run.launch import CannotSupervise, run_program
    from pingsock.run.sources import Sources
    from pingsock.sockets.errors import NoPingSocket

    sources = Sources(options.get("S"))
    try:
        if "v" in options:
            output.warn(WAYS_TOLD[sources.check()])
        status = run_program(words, sources, output.warn)
    except (NoPingSocket, CannotSupervise) as refusal:
        output.warn(str(refusal))
        return NOT_RUN
    return status if status >= 0 else _end_by(-status)


def _end_by(number: int) -> int:
    """End by the same signal; the status a shell would tell, should that not end us."""
    import resource

    # One core file, the program's, is enough.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number
