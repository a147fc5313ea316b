"""`python3 -m pingsock` is the command `pingsock`."""

from __future__ import annotations

import sys

from pingsock.cli.main import main

sys.exit(main())
