from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError
from tests.brokers import start_broker

if TYPE_CHECKING:
    from pathlib import Path


START = """
from hookseal.errors import BrokerError
from tests.brokers import start_broker
try:
    start_broker("docker")
except BrokerError as error:
    print(error)
"""


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    # In a process of its own: the client leaves the socket open that led nowhere.
    run = subprocess.run(
        [sys.executable, "-c", START],
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no-engine.sock"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.startswith("docker_missing: ")
    assert "DOCKER_HOST" in run.stdout


def test_without_testcontainers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # None makes an import fail as that of a package that is not installed.
    monkeypatch.setitem(sys.modules, "testcontainers.community.kafka", None)

    with pytest.raises(BrokerError) as caught:
        start_broker("docker")

    assert caught.value.code == "broker_missing"
    assert "pip install testcontainers" in caught.value.message
