"""Private parts of Faust and mode that are replaced or relied on.

A release that changes one of them must be read before it is taken: what is changed about
it in `streams` may have become wrong, or unnecessary. To accept a change, read the new
source against `docs/faust.md`, then write the new digest down.
"""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.fetch import FetchRequest
from faust.agents import Agent
from faust.stores.memory import Store as MemoryStore
from faust.stores.rocksdb import Store as RocksStore
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.topics import Topic
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaFaustConsumer
from faust.transport.drivers.aiokafka import Producer as AIOKafkaFaustProducer
from faust.transport.producer import ProducerBuffer
from mode.supervisors import SupervisorStrategy
from mode.utils.queues import FlowControlEvent, FlowControlQueue, ThrowableQueue

REPLACED = {
    Consumer.perform_seek: "0e8c130ff4b0",
    Consumer._filter_tps_with_pending_acks: "f6f923977423",
    Consumer._filter_committable_offsets: "dc5e9baf5d99",
    Consumer._should_commit: "5ce941793947",
    Consumer._new_offset: "1d2c7ea89a7a",
    Consumer._add_gap: "4df2573ded7c",
    Consumer._commit_offsets: "1a6979904118",
    Consumer._drain_messages: "44a2500309e8",
    Consumer._wait_next_records: "6218e1969a63",
    Consumer.on_partitions_revoked: "d04b7ae72c6f",
    Conductor.discard: "ce3a21575cde",
    FlowControlEvent.resume: "4dcdc1253fd0",
    AIOKafkaFaustConsumer._to_message: "7c24f6511b2f",
    FlowControlQueue.put_nowait_enhanced: "f1839f43dda3",
    FlowControlQueue.get: "c14157e5ee64",
    FlowControlQueue.get_nowait: "57cb9b5c12e7",
    FlowControlQueue.in_pressure_high_state: "3165f1488019",
    FlowControlQueue.maybe_endorse_pressure_drop: "dafd855ef5a0",
    ThrowableQueue.get: "57490d393d41",
    Conductor._update_tp_index: "e8e3ac9025ef",
    Consumer.on_buffer_full: "c8961679e0bc",
    Consumer.on_buffer_drop: "4b57e8a418d5",
    Agent.on_isolated_partitions_revoked: "9d8853499579",
    AIOKafkaConsumerThread._create_worker_consumer: "c2701bfc3e6f",
    AIOKafkaConsumerThread.on_start: "38b4e8bd1e10",
    AIOKafkaConsumerThread.seek_to_committed: "775ab0adc4b0",
    AIOKafkaConsumer.commit: "79b057d88220",
    AIOKafkaConsumer.seek_to_committed: "f6cd85c8b70a",
    GroupCoordinator._send_req: "fa4b12e914ce",
    GroupCoordinator._heartbeat_routine: "61d010289522",
    GroupCoordinator._do_heartbeat: "dc1d6632aaa6",
    GroupCoordinator.commit_offsets: "5cbe31af28d6",
    GroupCoordinator.fetch_committed_offsets: "6c049c737916",
    GroupCoordinator._on_join_prepare: "4d9524afc0ee",
    AIOKafkaConsumerThread._commit: "932852ce7a23",
    AIOKafkaConsumerThread._seek_wait: "9d221e816d94",
    Recovery.on_recovery_completed: "6ef567acf072",
    Recovery._seek_offsets: "19598ca63d94",
    Recovery._slurp_changelogs.fun: "7825c7e50f76",
    Recovery._set_recovery_started: "bcfebf81ae13",
    Recovery._restart_recovery.fun: "6bd8a8558a2d",
    Recovery.need_recovery: "fd1dc345b5d5",
    vars(TableManager)["recovery"].fget: "f0bf5de78b4c",
    MemoryStore.apply_changelog_batch: "71863e3cd727",
    MemoryStore.on_recovery_completed: "a00bef343e13",
    RocksStore.apply_changelog_batch: "ea3344d369fc",
    Consumer.getmany: "4b168d84882a",
    AIOKafkaConsumerThread._fetch_records: "39a2c6c79fc1",
    Fetcher.fetched_records: "be4348896b9b",
    Fetcher._proc_fetch_request: "59bf948fff47",
    FetchRequest.build: "952ef0f41192",
    AIOKafkaFaustProducer.send: "0b5bd08f52e5",
    ProducerBuffer._handle_pending.fun: "78d648030fd2",
    Topic.publish_message: "4ce1cbc35304",
    Topic._on_published: "7cfe9ebd6596",
    SupervisorStrategy.restart_service: "0300dfce8a4a",
    faust.App._on_partitions_revoked: "d5c895bbe57d",
    faust.App.on_stop: "bfe5a933defb",
}


def digest(function: object) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "expected"), REPLACED.items(), ids=lambda item: getattr(item, "__qualname__", "")
)
def test_what_we_replace_is_what_we_read(function: object, expected: str) -> None:
    assert digest(function) == expected


def test_aiokafka_is_the_release_we_read() -> None:
    assert version("aiokafka") == "0.14.0"


def test_faust_is_the_release_we_read() -> None:
    assert version("faust-streaming") == "0.15.3"
