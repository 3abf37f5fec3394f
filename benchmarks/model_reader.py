"""A process that has nothing but the tenants' read model; a program of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from statistics import median

import psutil

from hookseal.config import load
from hookseal.tenants.model import TenantsModel

_LOOK_EVERY_S = 0.001
_WEIGH_EVERY_S = 0.05
_SETTLES = 100
# Longer than the gap that is kept between two questions to the broker.
_BETWEEN_S = 0.03


async def _main(tenants: int) -> None:
    settings = load()
    model = TenantsModel(settings.cluster, settings.tenant_codec())
    rss = psutil.Process(os.getpid()).memory_info
    longest_s, peak_bytes, cpu_s = 0.0, 0, time.process_time()
    began = seen = weighed = time.monotonic()
    model.start()
    # Each look is late by what something else kept the event loop for.
    while not (model.ready and model.count >= tenants):
        await asyncio.sleep(_LOOK_EVERY_S)
        now = time.monotonic()
        longest_s, seen = max(longest_s, now - seen - _LOOK_EVERY_S), now
        if now - weighed > _WEIGH_EVERY_S:
            weighed, peak_bytes = now, max(peak_bytes, rss().rss)
    figures = {
        "tenants": model.count,
        "ready_s": time.monotonic() - began,
        "cpu_s": time.process_time() - cpu_s,
        "longest_pause_s": longest_s,
        "settle_s": median([await _settle(model) for _ in range(_SETTLES)]),
        "rss_bytes": rss().rss,
        "peak_rss_bytes": max(peak_bytes, rss().rss),
    }
    await model.close()
    print(json.dumps(figures))


async def _settle(model: TenantsModel) -> float:
    await asyncio.sleep(_BETWEEN_S)
    began = time.monotonic()
    if not await model.settle(timeout_s=5.0):
        sys.exit("It did not settle.")
    return time.monotonic() - began


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_main(int(sys.argv[1])))
