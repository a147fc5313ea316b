"""Where a kind of socket does not keep a rule, by name and with the reason.

The name of a rule is that of its test function, or with the row of its table in brackets:
"an_unknown_error_type_is_not_reported[v4-77]" without the leading "test_". A deviation is expected to fail: the suite
says so if it does not.
"""

from __future__ import annotations

DEVIATIONS: dict[tuple[str, str], str] = {}
"""(kind, rule): the reason."""

NOT_APPLICABLE: dict[tuple[str, str], str] = {}
"""(kind, rule): why the rule says nothing about this kind, or cannot be tried on it."""
