"""The agent that does nothing: what Faust takes for itself, whatever is done with an event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.meter import Pace
from benchmarks.process import Measured, faust

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.deployment import Deployment

_LOOK_EVERY_S = 0.1


def run_idle(deployment: Deployment, folder: Path, *, events: int) -> Pace:
    """Run the agent over all events in a group of its own; return what it measured itself."""
    result = folder / "idle.json"
    env = {
        **deployment.env,
        "HOOKSEAL_DATA_DIR": str(folder),
        "HOOKSEAL_BENCH_EVENTS": str(events),
        "HOOKSEAL_BENCH_RESULT": str(result),
    }
    with Measured(faust("benchmarks.idle_agent"), env, folder / "idle.log") as idle:
        for is_done in idle.watch(result.exists, every_s=_LOOK_EVERY_S):
            if is_done:
                break
    return Pace(**json.loads(result.read_text()))
