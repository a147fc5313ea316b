"""`pingsock doctor`: which kinds of ping socket can be opened here, and what to change where they cannot."""

from __future__ import annotations

from pingsock.cli.output import Output

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
    output = Output("pingsock doctor")
    return output.close(_run(arguments, output))


def _run(arguments: list[str], output: Output) -> int:
    if "-h" in arguments or "--help" in arguments:
        output.write(USAGE)
        return 0
    unknown = [argument for argument in arguments if argument != "--json"]
    if unknown:
        output.warn(f"no such argument: {unknown[0]}")
        output.warn_plainly(USAGE)
        return 2
    return _report(output, as_json=bool(arguments))


def _report(output: Output, *, as_json: bool) -> int:
    from pingsock.sockets.diagnosis import diagnose

    diagnosis = diagnose()
    output.write(f"{_json(diagnosis.as_dict()) if as_json else diagnosis.text()}\n")
    return 0 if diagnosis.usable else 1


def _json(report: dict[str, object]) -> str:
    from json import dumps

    return dumps(report, indent=2)
