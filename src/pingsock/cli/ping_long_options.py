"""The options of `ping` that have names, `--name` or `--name=value`. iputils has none that could collide."""

from __future__ import annotations

import sys

from pingsock.cli.arguments import NO_VALUE, OPTIONAL_VALUE, VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_options import Settings

FLAGS = {
    "color": "pingsock.cli.ping_extras:color",
    "info": "pingsock.cli.ping_pairs:ask_information",
    "json": "pingsock.cli.ping_extras:json",
    "mask": "pingsock.cli.ping_pairs:ask_mask",
    "percentiles": "pingsock.cli.ping_extras:percentiles",
    "timestamp": "pingsock.cli.ping_pairs:ask_timestamp",
}
"""Name of an option without a value -> "module:function" that enters it into the settings."""

VALUES = {
    "max-loss": "pingsock.cli.ping_extras:max_loss",
    "max-rtt": "pingsock.cli.ping_extras:max_rtt",
    "probe": "pingsock.cli.ping_pairs:ask_probe",
    "socket": "pingsock.cli.ping_extras:socket",
    "time": "pingsock.cli.ping_extras:time",
}
"""Likewise of options with a value."""


OPTIONAL_VALUES = {
    "until-down": "pingsock.cli.ping_extras:until_down",
    "until-up": "pingsock.cli.ping_extras:until_up",
}
"""Likewise of options that can do without the value, which has to stand behind "="."""
TABLES = {NO_VALUE: FLAGS, VALUE: VALUES, OPTIONAL_VALUE: OPTIONAL_VALUES}


def takes(name: str) -> int | None:
    """What may stand behind the option; None if there is no such option."""
    return next((kind for kind, table in TABLES.items() if name in table), None)


def apply(settings: Settings, name: str, text: str) -> None:
    """Enter an option into the settings; `text` is "" if it has no value.

    :raises Refused: the value cannot be used, or not together with another option.
    """
    module, _, function = (FLAGS | VALUES | OPTIONAL_VALUES)[name].partition(":")
    __import__(module)
    getattr(sys.modules[module], function)(settings, text)
