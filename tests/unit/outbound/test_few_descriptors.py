"""A process that runs out of descriptors: no receiver is charged for it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from tests import hostile
from tests.hostile import ACCEPTED, receiving
from tests.nameserver import naming

REPOSITORY = Path(__file__).parents[3]
ADDRESSES = 1500
FEW = 40


async def deliver(urls: list[str], *, limit: int, **options: Any) -> dict[str, Any]:
    """Deliver to each URL in a process that may open `limit` files."""
    asked = {
        "urls": urls,
        "limit": limit,
        "exhausted": False,
        "dns_port": None,
        # The kind of loop that the test itself runs on.
        "uvloop": isinstance(asyncio.get_running_loop(), uvloop.Loop),
        **options,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.few_descriptors",
        json.dumps({"at_a_time": 200, **asked}),
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    said: dict[str, Any] = json.loads(printed)
    return said


async def test_1500_hosts_are_delivered_to_with_128_descriptors() -> None:
    async with receiving(
        hostile.answering(ACCEPTED), keep_alive=True, hosts=("0.0.0.0",)
    ) as receiver:
        said = await deliver(
            [
                receiver.url(host=f"127.0.{1 + number // 250}.{1 + number % 250}")
                for number in range(ADDRESSES)
            ],
            limit=128,
        )

    assert said["codes"] == {"accepted": ADDRESSES}
    assert said["attempts"] == {"1": ADDRESSES}
    assert said["shortages"] == {}
    assert len(receiver.requests) == ADDRESSES


async def test_a_missing_descriptor_is_no_attempt() -> None:
    async with receiving(
        hostile.answering(ACCEPTED), keep_alive=True, hosts=("0.0.0.0",)
    ) as receiver:
        said = await deliver(
            [receiver.url(host=f"127.0.1.{1 + number}") for number in range(FEW)],
            limit=128,
            exhausted=True,
        )

    assert said["attempted_while_exhausted"] == 0
    assert said["shortages"]["descriptors"] >= FEW
    assert said["codes"] == {"accepted": FEW}
    assert said["attempts"] == {"1": FEW}


async def test_nor_is_a_name_that_cannot_be_resolved_without_one() -> None:
    names = {f"h{number}.example.com": [f"127.0.1.{1 + number}"] for number in range(FEW)}
    async with (
        receiving(hostile.answering(ACCEPTED), keep_alive=True, hosts=("0.0.0.0",)) as receiver,
        naming(**{name.replace(".", "_"): found for name, found in names.items()}) as server,
    ):
        said = await deliver(
            [receiver.url(host=name) for name in names],
            limit=128,
            exhausted=True,
            dns_port=server.port,
        )

    assert said["attempted_while_exhausted"] == 0
    assert said["codes"] == {"accepted": FEW}
    assert said["attempts"] == {"1": FEW}


async def test_several_addresses_of_a_name_change_nothing() -> None:
    addresses = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
    async with (
        receiving(hostile.answering(ACCEPTED), keep_alive=True, hosts=("0.0.0.0",)) as receiver,
        naming(many_example_com=addresses) as server,
    ):
        said = await deliver(
            [receiver.url(f"/{number}", host="many.example.com") for number in range(FEW)],
            limit=128,
            exhausted=True,
            dns_port=server.port,
        )

    assert said["attempted_while_exhausted"] == 0
    assert said["attempts"] == {"1": FEW}
    assert said["codes"] == {"accepted": FEW}
