"""One network for all tests of `pingsock run`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from run.programs import RunNetwork, compile_exercise, run_network


@pytest.fixture(scope="session")
def network() -> Iterator[RunNetwork]:
    with run_network("pingrun") as network:
        yield network


@pytest.fixture(scope="session")
def exercise(network: RunNetwork) -> str:
    return compile_exercise(str(network.programs))
