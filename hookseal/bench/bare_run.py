"""Runs the bare loop."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from hookseal.bench.meter import Pace
from hookseal.bench.scenario import PARTITIONS
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["run_bare"]


def run_bare(url: str, env: Mapping[str, str], *, requests: int, body_bytes: int) -> Pace:
    """POST bodies of this size, over as many lanes as the worker has partitions.

    Raises:
        HooksealError: `bench_process_ended`.
    """
    numbers = map(str, (requests, PARTITIONS, body_bytes))
    run = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-m", "hookseal.bench.bare_loop", url, *numbers],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise HooksealError(
            "bench_process_ended", f"The bare loop ended with {run.returncode}: {run.stderr}"
        )
    return Pace(**json.loads(run.stdout))
