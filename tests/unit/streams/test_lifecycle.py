from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.domain.dead_letter import DeadLetter
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.producer import Producer
from hookseal.kafka.topics import TopicNames
from streams.lifecycle import Lifecycle
from tests.builders import a_record
from tests.conditions import until
from tests.fakes import FakeKafka, RecordingObserver


async def test_a_worker_is_not_ready_while_a_dead_letter_cannot_be_written() -> None:
    kafka = FakeKafka()
    kafka.max_bytes = 100
    producer = Producer(Cluster("localhost:1"), make_client=kafka)
    dead_letters = KafkaDeadLetters(producer, TopicNames(), RecordingObserver(), pause_s=0)
    consumer = SimpleNamespace(membership=SimpleNamespace(has_lapsed=False))
    tables = SimpleNamespace(keep_only=lambda _: None)
    ports: dict[str, Any] = dict.fromkeys(
        ("producer", "transport", "letters", "attempts", "tracing", "partition_runner")
    )
    ports |= {
        "app": SimpleNamespace(consumer=consumer, in_recovery=False),
        "settings": SimpleNamespace(names=TopicNames()),
        "ends": SimpleNamespace(of=_no_ends),
        "tenants": tables,
        "commands": tables,
        "suspended_endpoints": SimpleNamespace(assign=lambda _: asyncio.sleep(0)),
    }
    lifecycle = Lifecycle(dead_letters=dead_letters, **ports)
    at_first = lifecycle.why_not_ready()

    await lifecycle.on_assigned(None, set())
    before = lifecycle.why_not_ready()

    letter = DeadLetter(a_record(), "endpoint_gone", "Gone.", "evt_7", 1.0, key=b"acme")
    burying = asyncio.create_task(dead_letters.bury(letter))
    await until(lambda: dead_letters.is_held)
    held = lifecycle.why_not_ready()
    kafka.max_bytes = 1 << 20
    await burying

    assert at_first == "starting"
    assert (before, held, lifecycle.why_not_ready()) == (None, "dead_letters_unwritable", None)


async def _no_ends(*_: object) -> dict[int, int]:
    return {}
