"""`python3 -m pingsock` is the command `pingsock`."""

from __future__ import annotations

from pingsock.cli.main import run

run()
