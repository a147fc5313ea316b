"""`pingsock doctor`: which kinds of ping socket can be opened here, and what to change where they cannot."""

from __future__ import annotations

import sys

USAGE = """\
Usage: pingsock doctor [--json]

Tries every kind of ping socket, says which can be opened here and, for each that cannot, why and
what would change that.

  --json      the same as one JSON object
  -h, --help  this text

Exit status: 0 if a kind can be opened, 1 if none can, 2 for a mistake on the command line.
"""


def main(arguments: list[str], _called: str = "doctor") -> int:
    """Run the subcommand; the exit status."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    unknown = [argument for argument in arguments if argument != "--json"]
    if unknown:
        print(f"pingsock doctor: no such argument: {unknown[0]}\n{USAGE}", end="", file=sys.stderr)
        return 2
    return _report(as_json=bool(arguments))


def _report(*, as_json: bool) -> int:
    from pingsock.sockets.diagnosis import diagnose

    diagnosis = diagnose()
    print(_json(diagnosis.as_dict()) if as_json else diagnosis.text())
    return 0 if diagnosis.usable else 1


def _json(report: dict[str, object]) -> str:
    from json import dumps

    return dumps(report, indent=2)
