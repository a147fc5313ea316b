from __future__ import annotations

from collections.abc import Iterator

import pytest

from bed.namespace import NoNamespace, entered
from compat.network import open_group_range


@pytest.fixture
def namespace() -> Iterator[None]:
    """This thread in a network of its own, where everybody may open ping sockets."""
    try:
        with entered():
            open_group_range()
            yield
    except NoNamespace as error:
        pytest.skip(str(error))
