"""A network namespace for the tests that start services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bed.child import can_change_user
from bed.namespace import NoNamespace, entered

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    try:
        with entered():
            yield
    except NoNamespace as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def users(namespace: None) -> None:
    if not can_change_user():
        pytest.skip("this process is in a user namespace with a single user, and cannot be somebody else")
