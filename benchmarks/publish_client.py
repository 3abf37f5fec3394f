"""A client with many connections; a program of its own, where there is no `wrk`.

It takes more CPU for a request than the API does for an answer, so that what it measures is
less than what the API can do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count, cycle
from pathlib import Path
from statistics import quantiles

import aiohttp

from benchmarks.publish_load import COUNTER


async def _main(url: str, asked: list[str], connections: int, seconds: float, first: int) -> None:
    lines = (line.split("\t", 1) for line in cycle(asked))
    numbers = count(first)
    latencies: list[float] = []
    errors = 0
    began = time.perf_counter()

    async def connection(session: aiohttp.ClientSession) -> None:
        nonlocal errors
        while (started := time.perf_counter()) < began + seconds:
            key, body = next(lines)
            body = body.replace(COUNTER, f"{next(numbers):012d}")
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            async with session.post(url, data=body.encode(), headers=headers) as response:
                await response.read()
                errors += not response.ok
            latencies.append(time.perf_counter() - started)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(connection(session) for _ in range(connections)))
    took_s = time.perf_counter() - began
    percentiles = quantiles(latencies, n=100)
    figures = {
        "requests": len(latencies),
        "errors": errors,
        "seconds": took_s,
        "p50_s": percentiles[49],
        "p99_s": percentiles[98],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    requests = Path(sys.argv[2]).read_text().splitlines()
    asyncio.run(
        _main(sys.argv[1], requests, int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    )
