"""Every test with a `bed` runs once for each kind of socket, in a network namespace of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bed.child import can_change_user
from bed.kinds import KINDS, NEEDS_NAMESPACE
from bed.namespace import NoNamespace, entered
from sockets.deviations import DEVIATIONS, NOT_APPLICABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bed.bed import Bed

_HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--kinds").split(",")
        unknown = set(kinds) - set(KINDS)
        if unknown:
            raise pytest.UsageError(f"--kinds names {sorted(unknown)}; there are {sorted(KINDS)}")
        metafunc.parametrize("host", kinds, indirect=True, scope="package")


def rule_names(item: pytest.Function, kind: str) -> tuple[str, str]:
    """The rule with its row, and without."""
    rule = item.originalname.removeprefix("test_")
    row = "-".join(part for part in item.callspec.id.split("-") if part != kind)
    return f"{rule}[{row}]", rule


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # All tests of a run are told here, and others have a "host" that is something else.
    ours = (item for item in items if _HERE in item.path.parents and hasattr(item, "callspec"))
    for item in ours:
        if isinstance(item, pytest.Function) and "host" in item.callspec.params:
            _mark_deviations(item, str(item.callspec.params["host"]))


def _mark_deviations(item: pytest.Function, kind: str) -> None:
    for rule in rule_names(item, kind):
        if reason := NOT_APPLICABLE.get((kind, rule)):
            item.add_marker(pytest.mark.skip(reason=reason))
        if reason := DEVIATIONS.get((kind, rule)):
            item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture(scope="package")
def namespace() -> Iterator[None]:
    try:
        with entered():
            yield
    except NoNamespace as err:
        pytest.skip(str(err))


@pytest.fixture(scope="package")
def host(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """The host under test; one for all tests of a kind."""
    if request.param in NEEDS_NAMESPACE:
        request.getfixturevalue("namespace")
    try:
        bed = KINDS[request.param]()
    except PermissionError as err:
        pytest.skip(f"the host of the {request.param} sockets cannot be made here: {err}")
    yield bed
    bed.close()


@pytest.fixture
def bed(host: Bed) -> Iterator[Bed]:
    yield host
    host.reset()


@pytest.fixture
def every_id(bed: Bed) -> None:
    """What needs ids beyond the one that a user namespace of an ordinary user has."""
    if bed.kind in ("kernel", "served") and not can_change_user():
        pytest.skip("this process is in a user namespace with a single user and group, and other ids are unknown there")
