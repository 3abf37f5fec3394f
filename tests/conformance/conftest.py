from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oracles import node_opener

if TYPE_CHECKING:
    from tests.oracles import NodeOpener


@pytest.fixture(scope="session")
def open_with_node() -> NodeOpener:
    opener = node_opener()
    if opener is None:
        pytest.skip("needs Node and npm")
    return opener
