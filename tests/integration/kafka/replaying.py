"""Real `hookseal dead-letters replay` processes, and the books of what they published."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiokafka import AIOKafkaProducer

from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.event import ENDPOINT_ID_HEADER, REPLAY_HEADER
from hookseal.domain.record import Record, last_header
from hookseal.domain.replay import parse_mark
from hookseal.kafka.partitioner import partition_of
from tests.brokers.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.config import Settings
    from hookseal.domain.replay import Mark
    from hookseal.kafka.consumer import LogEnds

__all__ = ["PARTITIONS", "Books", "Replay", "books", "published", "write_events", "write_letters"]

PARTITIONS = 3
HOOKSEAL = Path(sys.executable).with_name("hookseal")


class Replay:
    """One process that replays."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self._env = {**os.environ, **env, "HOOKSEAL_DATA_DIR": str(folder)}

    async def start(self, *arguments: str) -> Replay:
        self._process = await asyncio.create_subprocess_exec(
            str(HOOKSEAL),
            "dead-letters",
            "replay",
            *(arguments or ("--all", "--rate", "0")),
            "--json",
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def figures(self) -> dict[str, Any]:
        """Wait for its end; return what it printed."""
        out, err = await self._process.communicate()
        assert self._process.returncode == 0, err.decode()
        figures: dict[str, Any] = json.loads(out)
        return figures

    async def gone(self) -> None:
        """Wait for its end, whatever it was."""
        await self._process.communicate()


async def write_letters(
    settings: Settings, count: int, *, customers: Sequence[str], **what: Any
) -> None:
    """Write dead letters, in turns for each customer, each on its customer's partition."""
    fields = {"reason": "attempts_exhausted", "endpoint_id": "ep_1", "status": 503, **what}
    client = AIOKafkaProducer(**settings.cluster.arguments(), acks="all", linger_ms=5)
    await client.start()
    try:
        sent = []
        for number in range(count):
            customer = customers[number % len(customers)]
            partition = partition_of(customer, PARTITIONS)
            value = {"type": "order.paid", "id": f"{customer}-{number}", "data": number}
            record = Record(
                settings.names.events,
                partition,
                number,
                customer.encode(),
                orjson.dumps(value),
                (("trace", b"kept"),),
                1_700_000_000_000 + number,
            )
            letter = DeadLetter(
                record=record,
                error="It failed.",
                event_id=f"{customer}-{number}",
                failed_at=1_700_000_000.0 + number,
                key=record.key,
                attempts=5,
                **fields,
            )
            sent.append(
                await client.send(
                    settings.names.dead_letters,
                    key=letter.key,
                    value=record.value,
                    headers=list(letter.headers()),
                    partition=partition,
                )
            )
        await asyncio.gather(*sent)
    finally:
        await client.stop()


async def write_events(
    settings: Settings, count: int, *, customers: Sequence[str], event_type: str = "order.paid"
) -> None:
    """Write events, in turns for each customer."""
    client = AIOKafkaProducer(**settings.cluster.arguments(), acks="all", linger_ms=5)
    await client.start()
    try:
        sent = [
            await client.send(
                settings.names.events,
                key=customers[number % len(customers)].encode(),
                value=orjson.dumps({"type": event_type, "data": number}),
            )
            for number in range(count)
        ]
        await asyncio.gather(*sent)
    finally:
        await client.stop()


async def published(ends: LogEnds, settings: Settings) -> int:
    """Return how many offsets of `events` are in use, markers of transactions included."""
    return sum((await ends.of(settings.names.events, range(PARTITIONS))).values())


@dataclass
class Books:
    """The committed records of `events`: what workers deliver."""

    marks: Counter[Mark] = field(default_factory=Counter)
    order: dict[tuple[bytes, bytes], list[int]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def in_order(self) -> bool:
        """Return whether each endpoint's letters come in the order of their topic."""
        return all(offsets == sorted(offsets) for offsets in self.order.values())


async def books(settings: Settings) -> Books:
    found = Books()
    async for record in read_all(settings.cluster, settings.names.events):
        value = last_header(record.headers, REPLAY_HEADER)
        if value is None:
            continue
        mark = parse_mark(value)
        assert mark is not None
        endpoint = last_header(record.headers, ENDPOINT_ID_HEADER) or b""
        found.marks[mark] += 1
        found.order.setdefault((record.key or b"", endpoint), []).append(mark.offset)
        found.records.append(record)
    return found
