"""The options of `ping` that have names, `--name` or `--name=value`. iputils has none that could collide."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pingsock.cli.ping_options import Settings

FLAGS = {
    "info": "pingsock.cli.ping_pairs:ask_information",
    "mask": "pingsock.cli.ping_pairs:ask_mask",
    "timestamp": "pingsock.cli.ping_pairs:ask_timestamp",
}
"""Name of an option without a value -> "module:function" that enters it into the settings."""

VALUES = {
    "probe": "pingsock.cli.ping_pairs:ask_probe",
}
"""Likewise of options with a value."""


def needs_value(name: str) -> bool | None:
    """Whether a value belongs to the option; None if there is no such option."""
    if name in FLAGS:
        return False
    return True if name in VALUES else None


def apply(settings: Settings, name: str, text: str) -> None:
    """Enter an option into the settings; `text` is "" if it has no value.

    :raises Refused: the value cannot be used, or not together with another option.
    """
    module, _, function = (FLAGS.get(name) or VALUES[name]).partition(":")
    __import__(module)
    getattr(sys.modules[module], function)(settings, text)
