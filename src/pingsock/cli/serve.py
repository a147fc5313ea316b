"""`pingsock serve`, also `pingsockd`: the service that lends ping sockets."""

from __future__ import annotations

import argparse
import os

from pingsock.cli.arguments import Refused
from pingsock.cli.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pingsock.service.daemon import Settings
    from pingsock.service.privileges import Identity

SUBCOMMAND = "pingsock serve"
USUAL_CONFIGURATION = "/etc/pingsock/pingsockd.toml"
USUAL_USER = "pingsock"
FAILED, BAD_COMMAND_LINE = 1, 2

_DESCRIPTION = """\
Lends ping sockets to the users its configuration names, where the kernel has none for them. Opens raw sockets with
CAP_NET_RAW, then gives up every privilege. SIGHUP has it read the configuration again, sockets stay open."""

_EPILOG = """\
Exit status: 0 when told to stop (SIGTERM, SIGINT), 1 if it cannot start or the service asked does not answer, 2 for a
mistake on the command line or in the configuration."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line."""
        raise Refused(f"{message}; --help tells more", BAD_COMMAND_LINE)


def _parser(program: str = SUBCOMMAND) -> argparse.ArgumentParser:
    parser = _Parser(prog=program, description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False)
    add = parser.add_argument
    add("--config", metavar="FILE", help=f"configuration (default {USUAL_CONFIGURATION} if it is there)")
    add("--socket", metavar="PATH", default="", help="where to listen, or the service to ask")
    add("--user", metavar="NAME", help=f"whom to become, a name or UID:GID (default, as root: {USUAL_USER})")
    add("--stay-root", action="store_true", help="keep uid 0, without capabilities, where no user can be changed")
    add("--group-range", action="store_true", help="open net.ipv4.ping_group_range to the service's group alone")
    add("--sandbox", choices=("required", "auto", "off"), default="auto", help="filter system calls (default auto)")
    add("--check", action="store_true", help="check the configuration and do nothing else")
    add("--status", action="store_true", help="ask the running service for its counters, as root or its own user")
    add("--json", action="store_true", help="the status as JSON")
    return parser


def main(arguments: list[str], called: str = "serve") -> int:
    """Run the subcommand, or the program `called` so; the exit status."""
    program = SUBCOMMAND if called == "serve" else called
    output = Output(program)
    try:
        options = _parser(program).parse_args(arguments)
        return output.close(_act(options, output))
    except Refused as refused:
        output.warn(refused.text)
        return refused.status
    except SystemExit:
        return 0


def _act(options: argparse.Namespace, output: Output) -> int:
    if options.json and not options.status:
        raise Refused("--json goes with --status; --help tells more", BAD_COMMAND_LINE)
    if options.status:
        return _status(options, output)
    if options.check:
        return _check(options, output)
    return _serve(options, output)


def _serve(options: argparse.Namespace, output: Output) -> int:
    from pingsock.service.audit import standard_error
    from pingsock.service.configuration import BadConfiguration
    from pingsock.service.daemon import CannotStart, run
    from pingsock.service.sandbox import NoSandbox
    from pingsock.stack.failure import in_words

    try:
        run(_settings(options), standard_error())
    except BadConfiguration as error:
        raise Refused(str(error), BAD_COMMAND_LINE) from error
    except (CannotStart, NoSandbox, OSError) as error:
        output.warn(in_words(error))
        return FAILED
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    from pingsock.service.daemon import Settings

    return Settings(
        _configuration_path(options),
        options.socket,
        _identity(options),
        options.group_range,
        options.sandbox,
    )


def _configuration_path(options: argparse.Namespace) -> str:
    if options.config is not None:
        return str(options.config)
    return USUAL_CONFIGURATION if os.path.exists(USUAL_CONFIGURATION) else ""


def _identity(options: argparse.Namespace) -> Identity | None:
    from pingsock.service.privileges import identity_of

    if options.user is None and (os.geteuid() or options.stay_root):
        return None
    if options.user is not None and options.stay_root:
        raise Refused("--user and --stay-root exclude each other", BAD_COMMAND_LINE)
    try:
        return identity_of(options.user or USUAL_USER)
    except LookupError as error:
        hint = "" if options.user else f"; make it (useradd --system {USUAL_USER}), or name one with --user"
        raise Refused(f"{error.args[0]}{hint}", BAD_COMMAND_LINE) from error


def _check(options: argparse.Namespace, output: Output) -> int:
    from pingsock.service.configuration import BadConfiguration, load_configuration
    from pingsock.stack.failure import in_words

    path = _configuration_path(options)
    if not path:
        raise Refused(f"there is no {USUAL_CONFIGURATION}; name a file with --config", BAD_COMMAND_LINE)
    try:
        load_configuration(path)
    except (BadConfiguration, OSError) as error:
        raise Refused(in_words(error), BAD_COMMAND_LINE) from error
    output.write(f"{path} is in order\n")
    return 0


def _status(options: argparse.Namespace, output: Output) -> int:
    from pingsock.service.client import ask_status

    try:
        report = ask_status(options.socket or None)
    except OSError as error:
        output.warn(f"no status: {error.strerror}")
        return FAILED
    output.write(f"{report}\n" if options.json else _status_text(report))
    return 0


def _status_text(report: str) -> str:
    from json import loads

    status = loads(report)
    lines = [f"{name.replace('_', ' '):<22}{_plainly(value)}" for name, value in status.items() if name != "users"]
    columns = ("uid", "connections", "handed_over", "queued_bytes", "packets", "refusals")
    table = [columns, *(tuple(str(user[column]) for column in columns) for user in status["users"])]
    widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    rows = ["".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join([*lines, "", *rows]) + "\n"


def _plainly(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plainly(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
