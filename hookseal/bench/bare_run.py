"""Runs the bare loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.bench.meter import Pace
from hookseal.bench.process import figures_of
from hookseal.bench.scenario import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["run_bare"]


def run_bare(url: str, env: Mapping[str, str], *, requests: int, body_bytes: int) -> Pace:
    """POST bodies of this size, over as many lanes as the worker has partitions.

    Raises:
        HooksealError: `bench_process_ended`.
    """
    numbers = map(str, (requests, PARTITIONS, body_bytes))
    figures = figures_of("hookseal.bench.bare_loop", url, *numbers, env=env)
    return Pace(**figures)
