"""A loop of plain requests: no Kafka, no seal, no retry; a program of its own.

What `aiohttp` can do on this machine with as many requests under way as the worker has
partitions; the worker cannot be faster than this.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.meter import Meter, Pace
from benchmarks.process import figures_of
from benchmarks.scenario import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


def run_bare(url: str, env: Mapping[str, str], *, requests: int, body_bytes: int) -> Pace:
    """POST bodies of this size, over as many lanes as the worker has partitions."""
    numbers = map(str, (requests, PARTITIONS, body_bytes))
    return Pace(**figures_of("benchmarks.bare_loop", url, *numbers, env=env))


async def _main(url: str, requests: int, lanes: int, body_bytes: int) -> None:
    body = os.urandom(body_bytes)
    meter = Meter(requests)
    left = iter(range(requests))

    async def context(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body) as response:
                await response.read()
                response.raise_for_status()
            meter.count()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(context(session) for _ in range(lanes)))
    print(json.dumps(meter.pace()._asdict()))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
