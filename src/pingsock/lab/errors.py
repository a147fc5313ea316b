"""The lab's one exception."""

from __future__ import annotations


class LabError(ValueError):
    """A network was described wrongly: an address, a name, an option or a file.

    The message names where (file and key, or the call's argument), the value, and what was needed.
    """
