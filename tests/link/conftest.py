"""Fixtures of the links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from link.raw_bed import Hosts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Three hosts in network namespaces; the test's thread is on one of them."""
    made = Hosts()
    try:
        yield made
    finally:
        made.leave()
