"""`python -m benchmarks --publish`: what it prints is what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

# The embedded broker is late in telling where a topic ends.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]

COMMAND = (sys.executable, "-m", "benchmarks")


def test_everything_that_is_acknowledged_is_written(
    broker: Broker, settings_env: dict[str, str], tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKSEAL_")}
    file = tmp_path / "figures.json"
    run = subprocess.run(
        [*COMMAND, "--publish", "--smoke", "--json", str(file)],
        env={**kept, **broker.settings},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(file.read_bytes())
    assert figures["exact"]
    assert [one["kind"] for one in figures["runs"]] == ["single", "single_named", "batch"]
    assert all(one["errors"] == 0 and one["requests"] > 0 for one in figures["runs"])
