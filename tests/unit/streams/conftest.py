from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from hookseal.config import Settings
from streams.topology import create_app
from tests.builders import MASTER_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from streams.faust_app import HooksealApp


@pytest.fixture
def app(tmp_path: Path) -> HooksealApp:
    """A wired application that never connects."""
    return create_app(
        Settings(
            kafka_bootstrap="127.0.0.1:1",
            master_key=base64.b64encode(MASTER_KEY).decode(),
            data_dir=tmp_path,
            max_in_progress=16,
        )
    )
