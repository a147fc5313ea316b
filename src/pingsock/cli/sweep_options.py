"""The command line of `pingsock sweep`."""

from __future__ import annotations

import argparse
from socket import AF_INET, AF_INET6

from pingsock.cli.arguments import Refused
from pingsock.sockets.choose import KINDS
from pingsock.tools.sweep import RATE, RETRIES, TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

BAD_COMMAND_LINE = 3

_DESCRIPTION = """\
Probes each target and says which are alive, and what was heard of the others. A target is an address, a prefix
(10.0.0.0/24), a range (10.0.0.1-10.0.0.9, 10.0.0.1-9), a name, or - for a list on standard input, which is read too if
there is neither a target nor a file. Of an IPv4 prefix up to /30 the first and last address are left out, of an IPv6
prefix up to /126 the first."""

_EPILOG = """\
Exit status: 0 if all targets are alive, 1 if some are not or there are none, 2 if some names were not found, 3 for a
mistake on the command line or in a list, 4 if a system call failed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and fping's exit status."""
        raise Refused(f"{message}; --help tells more", BAD_COMMAND_LINE)


def _number(text: str) -> int:
    """Decimal, or hexadecimal as 0xb8."""
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def _rational(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None


def _path(text: str) -> str:
    if not text:
        # Of a variable that is not set, most likely.
        raise argparse.ArgumentTypeError("must be the name of a file, not ''")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pingsock sweep", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False, add_help=False
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    _add_choice_of_targets(parser.add_argument_group("targets"))
    _add_pace(parser.add_argument_group("how often and how fast"))
    _add_probes(parser.add_argument_group("probes"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_choice_of_targets(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-f", "--file", action="append", default=[], metavar="FILE", help="targets in a file, # begins a comment")
    add("--exclude", action="append", default=[], metavar="TARGET", help="leave these out")
    add("--exclude-file", action="append", default=[], metavar="FILE", help="leave out what is in a file")
    add("-4", dest="family", action="store_const", const=int(AF_INET), default=0, help="IPv4 only")
    add("-6", dest="family", action="store_const", const=int(AF_INET6), help="IPv6 only")
    add("-m", "--each-address", action="store_true", help="every address of a name, not the first alone")
    add("--all-addresses", action="store_true", help="network and broadcast addresses of prefixes too")
    add("--broadcast", action="store_true", help="--all-addresses, and send to broadcast addresses, whoever replies")
    add("--random", action="store_true", help="in random order")
    add("--seed", type=_number, metavar="N", help="in the random order with this number")
    add("--skip", type=_number, default=0, metavar="N", help="leave out the first N targets of the order")
    add("--resume", type=_path, metavar="FILE", help="keep in FILE what is done; if FILE is there, go on with the rest")


def _add_pace(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--rate",
        type=_rational,
        default=RATE,
        metavar="N",
        help=f"probes a second, 0 for no limit (default {RATE:.0f})",
    )
    add("-c", "--count", type=_number, default=1, metavar="N", help="probes of each target (default 1)")
    add("--jobs", type=_number, default=1, metavar="N", help="threads, for lists without names (default 1)")
    add("--processes", type=_number, default=1, metavar="N", help="processes, instead of threads (default 1)")
    add(
        "-r",
        "--retries",
        type=_number,
        metavar="N",
        help=f"further probes if none was answered (default {RETRIES}; 0 with more than one --count)",
    )
    add("--timeout", type=_rational, default=TIMEOUT, metavar="S", help=f"seconds for a reply (default {TIMEOUT})")
    add("--interval", type=_rational, default=1.0, metavar="S", help="seconds between probes of a target (default 1)")


def _add_probes(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-s", "--size", type=_number, default=56, metavar="N", help="bytes of payload (default 56)")
    add("--ttl", type=_number, metavar="N", help="time to live, or hop limit")
    add("--tos", type=_number, metavar="N", help="type of service, or traffic class")
    add("--dont-fragment", action="store_true", help="do not fragment what is too large")
    add("--source", default="", metavar="ADDRESS", help="send from this address")
    add("--interface", default="", metavar="NAME", help="send by this interface")
    add("--socket", choices=KINDS, help="use this kind of socket only")


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    which = group.add_mutually_exclusive_group()
    which.add_argument("-a", "--alive", action="store_true", help="only those that are alive, as a list")
    which.add_argument("-u", "--unreachable", action="store_true", help="only those that are unreachable, as a list")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON, one object a line")
    form.add_argument("--csv", action="store_true", help="comma-separated values, with a line of headings")
    add("--each-probe", action="store_true", help="with --json: each reply, error and silence too")
    add("-q", "--quiet", action="store_true", help="no output but errors")
    add("--no-progress", action="store_true", help="no progress bar")
    add("-h", "--help", action="store_true", help="show this and exit")


def read_options(arguments: list[str]) -> argparse.Namespace:
    """The options of a command line.

    :raises Refused: it is not understood.
    """
    settings = _parser().parse_intermixed_args(arguments)
    if settings.help:
        return settings
    if settings.each_probe and not settings.json:
        raise Refused("--each-probe goes with --json", BAD_COMMAND_LINE)
    if settings.skip < 0:
        raise Refused(f"--skip must be 0 or more, not {settings.skip}", BAD_COMMAND_LINE)
    sources = [*settings.targets, *settings.file, *settings.exclude_file]
    if sources.count("-") > 1:
        raise Refused("standard input can be read once only", BAD_COMMAND_LINE)
    return settings


def usage() -> str:
    """The help text."""
    return _parser().format_help()
