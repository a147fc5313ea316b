"""Options of the whole suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kinds",
        default="kernel,embedded,served,memory",
        help="kinds of socket the behavioural suite runs over, separated by commas (default: %(default)s)",
    )
