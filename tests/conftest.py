"""Options of the whole suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

# How long an example takes says something about the machine and who else uses it, nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kinds",
        default="kernel,embedded,served,memory",
        help="kinds of socket the behavioural suite runs over, separated by commas (default: %(default)s)",
    )
