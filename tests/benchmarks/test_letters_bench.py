"""`python -m benchmarks --letters` and `--log`: their books balance; memory stays flat."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.sink import PLACES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]

COMMAND = (sys.executable, "-m", "benchmarks")
LETTERS = 20_000
EVENTS = 500
MIB = 1024 * 1024


def figures_of(broker: Broker, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a benchmark on the broker of the tests; return what it wrote."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKSEAL_")}
    file = folder / "figures.json"
    run = subprocess.run(
        [*COMMAND, *arguments, "--json", str(file)],
        env={**kept, **broker.settings, "HOOKSEAL_KAFKA_BOOTSTRAP": broker.bootstrap},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    figures: dict[str, Any] = json.loads(file.read_bytes())
    return figures


def test_many_letters_are_replayed_once_in_flat_memory(broker: Broker, tmp_path: Path) -> None:
    if broker.kind == "embedded":
        pytest.skip("replays are fenced with transactions; this run has the embedded broker")

    figures = figures_of(broker, tmp_path, "--letters", str(LETTERS))

    assert figures["letters"] == figures["replayed"] == LETTERS
    assert figures["exact"]
    # The letters' events alone are 20 MiB, and far more as objects of Python's.
    grown = figures["replay_peak_rss_bytes"] - figures["replay_early_rss_bytes"]
    assert grown < 16 * MIB


@pytest.mark.skipif(
    not (shutil.which("nginx") or shutil.which("nginx", path=PLACES)),
    reason="the benchmark's receiver is nginx",
)
def test_the_delivery_log_has_each_attempt_of_a_benchmark(broker: Broker, tmp_path: Path) -> None:
    figures = figures_of(broker, tmp_path, "--log", "--events", str(EVENTS), "--rounds", "1")

    assert figures["exact"]
    assert figures["logged"] == [EVENTS]
