"""Deliver with few descriptors: `python -m tests.few_descriptors '{"limit": 256, …}'`.

Runs in a process of its own, because the limit of open files holds for all of a process. Prints
what happened as JSON. The receiver is another process's, for the same reason.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import sys
from collections import Counter
from typing import Any

import uvloop
from aiohttp.resolver import AsyncResolver

from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.ports import Clock
from hookseal.domain.backoff import Backoff
from tests.builders import a_record, a_tenant, an_endpoint, an_event
from tests.engine import Engine
from tests.outbound import a_transport


def exhaust() -> list[int]:
    """Open files until no more can be opened; return them."""
    held: list[int] = []
    while True:
        try:
            held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            return held


async def deliver(
    urls: list[str], *, at_a_time: int, exhausted: bool, dns_port: int | None
) -> dict[str, Any]:
    """Deliver one event to each URL, each of a customer of its own."""
    engine = Engine(
        *(a_tenant(f"c{n}", an_endpoint("ep_1", url=url)) for n, url in enumerate(urls))
    )
    clock = Clock()
    options: dict[str, Any] = {}
    if dns_port is not None:
        options["make_resolver"] = lambda: AsyncResolver(
            nameservers=["127.0.0.1"], udp_port=dns_port, tcp_port=dns_port, tries=1
        )
    async with a_transport(**options) as transport:
        # A single attempt: whatever is charged to a receiver ends its delivery.
        deliverer = engine.deliverer_with(Backoff(max_attempts=1), transport=transport, clock=clock)
        lane = PartitionContext(0, clock=clock, observer=engine.observer, at_a_time=at_a_time)
        held = exhaust() if exhausted else []
        deliveries = [
            asyncio.create_task(
                deliverer.deliver(
                    an_event(a_record(key=b"c%d" % number)), f"c{number}", "ep_1", lane
                )
            )
            for number in range(len(urls))
        ]
        if exhausted:
            # Each delivery met the shortage before a descriptor is free again.
            while len(engine.observer.shortages) < len(urls):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
        attempted_while_exhausted = len(engine.observer.attempts)
        for descriptor in held:
            os.close(descriptor)
        outcomes = await asyncio.gather(*deliveries)
    return {
        "codes": Counter(outcome.code for outcome in outcomes),
        "attempts": Counter(outcome.attempts for outcome in outcomes),
        "attempted_while_exhausted": attempted_while_exhausted,
        "shortages": Counter(engine.observer.shortages),
    }


def main() -> None:
    options = json.loads(sys.argv[1])
    limit = options.pop("limit")
    if options.pop("uvloop"):
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    print(json.dumps(asyncio.run(deliver(**options))))  # noqa: T201


if __name__ == "__main__":
    main()
