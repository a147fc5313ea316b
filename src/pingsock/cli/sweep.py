"""`pingsock sweep`: which of many targets are alive, and what is heard of the others."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from contextlib import ExitStack, closing
from socket import AF_INET

from pingsock.cli.arguments import Refused
from pingsock.cli.interrupts import obey_as_c_programs_do
from pingsock.cli.output import Output
from pingsock.cli.sweep_options import BAD_COMMAND_LINE, read_options, usage
from pingsock.cli.sweep_resume import SYSTEM_CALL_FAILED, State, check_same, read_state
from pingsock.cli.sweep_session import Command, Session
from pingsock.sockets.errors import InvalidArgument, NoPingSocket, PingsockError
from pingsock.stack.failure import in_words
from pingsock.tools.arguments import check_probes
from pingsock.tools.sweep import sweep_plan
from pingsock.tools.target_order import SEEDS
from pingsock.tools.target_sources import STANDARD_INPUT, WordFile, Words
from pingsock.tools.targets import TargetList

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from pingsock.tools.target_sources import Source


def main(arguments: list[str], _called: str = "sweep") -> int:
    """Run the subcommand; the exit status."""
    obey_as_c_programs_do()
    # A reader that has gone away is to end us with our state written.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    output = Output("pingsock sweep")
    try:
        status = _run(arguments, output)
    except InvalidArgument as refusal:
        output.warn(str(refusal))
        status = BAD_COMMAND_LINE
    except Refused as refusal:
        output.warn(refusal.text)
        status = refusal.status
    except NoPingSocket as refused:
        output.warn(_no_socket(refused))
        status = SYSTEM_CALL_FAILED
    except (PingsockError, OSError) as error:
        output.warn(in_words(error))
        status = SYSTEM_CALL_FAILED
    failed_to_write = output.failure is not None and not output.unread
    closed = output.close(status)
    return SYSTEM_CALL_FAILED if failed_to_write else closed


def _no_socket(refused: NoPingSocket) -> str:
    from pingsock.sockets.diagnosis import diagnose_refusals

    return f"{refused}\n{diagnose_refusals(int(AF_INET), refused.refusals).short()}"


def _run(arguments: list[str], output: Output) -> int:
    settings = read_options(arguments)
    if settings.help:
        output.write(usage())
        return 0
    plan = sweep_plan(
        count=settings.count,
        retries=settings.retries,
        timeout=settings.timeout,
        interval=settings.interval,
        rate=settings.rate,
    )
    state = read_state(settings.resume) if settings.resume else None
    seed = _seed(settings, state)
    with ExitStack() as sources:
        targets = sources.enter_context(_targets(settings, seed, sources))
        digest = _digest(targets, settings)
        if state is not None:
            check_same(state, digest, targets.count, settings.resume)
        command = Command(settings, arguments, seed, digest)
        return Session(command, targets, plan, state, output).run()


# What to sweep


def _seed(settings: argparse.Namespace, state: State | None) -> int | None:
    """The number of the random order: the one given, that of the run to go on from, or a new one."""
    if settings.seed is not None or not settings.random:
        return settings.seed  # type: ignore[no-any-return] # argparse
    if state is not None and state.seed is not None:
        return state.seed
    return random.SystemRandom().randrange(SEEDS)


def _targets(settings: argparse.Namespace, seed: int | None, sources: ExitStack) -> TargetList:
    aim = check_probes(
        family=settings.family,
        source=settings.source,
        interface=settings.interface,
        ttl=settings.ttl,
        tos=settings.tos,
        size=settings.size,
        dont_fragment=settings.dont_fragment,
        broadcast=settings.broadcast,
    )
    included = _included(settings, sources)
    excluded: list[Source] = [Words(settings.exclude)]
    excluded += [_file(path, sources) for path in settings.exclude_file]
    return TargetList(
        included,
        excluded=excluded,
        family=aim.family,
        options=aim.options,
        whole_prefixes=settings.all_addresses or settings.broadcast,
        seed=seed,
    )


def _included(settings: argparse.Namespace, sources: ExitStack) -> list[Source]:
    words: list[str] = settings.targets
    files: list[str] = settings.file
    if not words and not files:
        if os.isatty(0):
            raise Refused("no target is given; --help tells more", BAD_COMMAND_LINE)
        files = [STANDARD_INPUT]
    given: list[Source] = [_file(word, sources) if word == STANDARD_INPUT else Words([word]) for word in words]
    return given + [_file(path, sources) for path in files]


def _file(path: str, sources: ExitStack) -> WordFile:
    return sources.enter_context(closing(WordFile(path)))


def _digest(targets: TargetList, settings: argparse.Namespace) -> str:
    """Differs if other targets are meant, or others are done by the same position."""
    return hashlib.sha256(repr((targets.digest, settings.each_address, settings.skip)).encode()).hexdigest()
