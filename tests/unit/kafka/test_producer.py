from __future__ import annotations

import asyncio
import logging
import struct
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import errors as kafka_errors
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    RecordListTooLargeError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
    for_code,
)

from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.domain.dead_letter import DeadLetter, added_headers
from hookseal.domain.new_event import Notice
from hookseal.errors import BrokerError, RecordRefusedError
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.producer import Producer, is_permanent, is_too_large
from hookseal.kafka.topics import TopicNames
from hookseal.publishing.partition_writer import PartitionWriter, PendingAck, PendingRecord
from hookseal.publishing.router import KafkaNotices, KafkaRouter
from tests.builders import a_record, an_event
from tests.conditions import until
from tests.fakes import FakeKafka, RecordingObserver

CLUSTER = Cluster("localhost:1")
NAMES = TopicNames()
TOO_LARGE = MessageSizeTooLargeError()


class Case:
    def __init__(self) -> None:
        self.kafka = FakeKafka()
        self.failures: list[tuple[str, str]] = []
        self.producer = Producer(
            CLUSTER,
            make_client=self.kafka,
            on_failure=lambda topic, code: self.failures.append((topic, code)),
        )
        self.observer = RecordingObserver()
        self.dead_letters = KafkaDeadLetters(self.producer, NAMES, self.observer, pause_s=0)

    async def publish(self, value: bytes = b"v", **what: Any) -> Any:
        return await self.producer.publish("t", key=b"k", value=value, **what)


def a_letter(value: bytes = b"{}") -> DeadLetter:
    record = a_record(value)
    return DeadLetter(record, "endpoint_gone", "Gone.", "evt_7", 1.0, key=record.key)


class TestIsPermanent:
    @pytest.mark.parametrize(
        "error",
        [
            TOO_LARGE,
            RecordListTooLargeError(),
            UnknownTopicOrPartitionError(),
            TopicAuthorizationFailedError("t"),
            ClusterAuthorizationFailedError(),
            InvalidTimestampError(),
            for_code(17)(),
            for_code(35)(),
            for_code(76)(),
            for_code(87)(),
            AssertionError("Unrecognized partition"),
            ValueError("x"),
            TypeError("x"),
            UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"),
            struct.error("x"),
            OverflowError("x"),
            RecordRefusedError("x"),
        ],
    )
    def test_holds_for_what_a_retry_does_not_cure(self, error: Exception) -> None:
        assert is_permanent(error)

    @pytest.mark.parametrize(
        "error",
        [
            KafkaConnectionError(),
            KafkaTimeoutError(),
            RequestTimedOutError(),
            NotLeaderForPartitionError(),
            NotEnoughReplicasError(),
            OutOfOrderSequenceNumber(),
            ProducerClosed(),
            UnknownError(),
            for_code(89)(),
            KafkaError("Unexpected error during batch delivery"),
            BrokerError("broker_unreachable", "x"),
            TimeoutError(),
            ConnectionResetError(),
            MemoryError(),
            asyncio.CancelledError(),
        ],
    )
    def test_does_not_hold_for_what_passes(self, error: BaseException) -> None:
        assert not is_permanent(error)

    def test_does_not_hold_for_whatever_the_client_itself_calls_retriable(self) -> None:
        retriable = {
            error
            for error in kafka_errors.kafka_errors.values()
            if error.retriable and error is not UnknownTopicOrPartitionError
        }

        assert len(retriable) >= 10
        assert not any(is_permanent(error()) for error in retriable)


class TestPublish:
    async def test_says_that_a_temporary_failure_is_one_and_takes_a_new_client(self) -> None:
        case = Case()
        case.kafka.refusals.append(OutOfOrderSequenceNumber())

        with pytest.raises(BrokerError, match="publish_failed"):
            await case.publish()
        await case.publish()

        assert case.failures == [("t", "publish_failed")]
        assert (case.kafka.started, case.kafka.stopped) == (2, 1)

    async def test_refuses_what_fails_alone_as_well(self) -> None:
        case = Case()
        case.kafka.refusals.extend([TOO_LARGE, TOO_LARGE])

        with pytest.raises(RecordRefusedError) as caught:
            await case.publish()

        assert (caught.value.code, is_too_large(caught.value)) == ("record_refused", True)
        assert case.failures == [("t", "record_refused")]

    async def test_does_not_blame_a_record_for_others_in_its_batch(self) -> None:
        case = Case()
        case.kafka.refusals.append(InvalidTimestampError())

        position = await case.publish(b"innocent")

        assert (position.offset, case.failures) == (0, [])
        assert [b"innocent" in one["value"] for one in case.kafka.written] == [True]

    async def test_keeps_the_client_where_the_record_was_never_sent(self) -> None:
        case = Case()
        case.kafka.unsent.append(UnicodeEncodeError("utf-8", "\udc80", 0, 1, "no"))

        with pytest.raises(RecordRefusedError):
            await case.publish()

        assert (case.kafka.started, case.kafka.stopped) == (1, 0)

    async def test_passes_null_header_values_and_raw_names_on(self) -> None:
        case = Case()

        await case.publish(headers=(("trace", None), ("a", b"")), partition=0)
        await case.publish(headers=(("\udcff\udcfe", b"1"), ("trace", None)), partition=0)

        assert case.kafka.written[0]["headers"] == [("trace", None), ("a", b"")]
        # Lengths are zigzag varints: 2 bytes are 4, a length of -1 is 1.
        assert b"\x04\xff\xfe\x021\x0atrace\x01" in case.kafka.written[1]["value"]

    async def test_that_is_sure_retries_what_is_temporary_and_raises_what_is_not(self) -> None:
        case = Case()
        case.kafka.refusals.extend([NotLeaderForPartitionError(), TOO_LARGE, TOO_LARGE])
        retried: list[int] = []

        with pytest.raises(RecordRefusedError):
            await case.producer.publish_surely(
                "t", key=b"k", value=b"v", on_failure=lambda: retried.append(1)
            )

        assert retried == [1]

    async def test_logs_one_line_for_many_failures(self, caplog: pytest.LogCaptureFixture) -> None:
        case = Case()
        case.kafka.refusals.extend(NotLeaderForPartitionError() for _ in range(50))

        with caplog.at_level(logging.ERROR):
            for _ in range(50):
                with pytest.raises(BrokerError):
                    await case.publish()

        assert len(case.failures) == 50
        assert len([one for one in caplog.records if one.name.endswith("producer")]) == 1


class TestDeadLetters:
    async def test_are_cut_until_the_broker_takes_them(self) -> None:
        case = Case()
        case.kafka.max_bytes = 64 * 1024

        await case.dead_letters.bury(a_letter(b"x" * 3_000_000))
        await case.dead_letters.bury(a_letter(b"x" * 200_000))

        values = [dict(added_headers(tuple(one["headers"]))) for one in case.kafka.written]
        assert [(one["truncated"], one["value-bytes"]) for one in values] == [
            ("value", "3000000"),
            ("value", "200000"),
        ]
        assert case.observer.bury_failures == []
        # Each size is refused twice, in a batch and alone; the second letter is cut at once to what
        # the first one found out: 2 MiB halved five times.
        assert len(case.kafka.batches) == 2 * 5 + 2

    @pytest.mark.parametrize(
        "error",
        [RuntimeError("nobody expected"), AssertionError(), KeyError("x"), LookupError()],
    )
    async def test_outlast_errors_that_nobody_expected(self, error: Exception) -> None:
        case = Case()
        case.kafka.unsent.extend([error, error])

        await case.dead_letters.bury(a_letter())

        assert len(case.kafka.written) == 1
        assert case.observer.bury_failures == [1, 2, 0]
        assert not case.dead_letters.is_held

    async def test_that_are_refused_hold_their_partition_and_are_counted(self) -> None:
        case = Case()
        case.kafka.max_bytes = 100
        burying = asyncio.create_task(case.dead_letters.bury(a_letter()))
        await until(lambda: len(case.observer.bury_failures) > 3)
        held = case.dead_letters.is_held

        case.kafka.max_bytes = 1 << 20
        await burying

        assert held
        assert not case.dead_letters.is_held
        assert case.observer.bury_failures[-1] == 0


def many(count: int, value: bytes = b"{}") -> list[DeadLetter]:
    """Return so many dead letters with ids of their own."""
    return [replace(a_letter(value), event_id=f"evt_{number}") for number in range(count)]


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [dict(added_headers(tuple(one["headers"])))["event-id"] for one in records]


class TestManyDeadLetters:
    async def test_are_written_in_their_order_in_few_batches(self) -> None:
        case = Case()
        letters = many(400, b"x" * 2000)

        await case.dead_letters.bury_all(letters)

        assert ids(case.kafka.written) == [letter.event_id for letter in letters]
        assert case.observer.buried_ids == ids(case.kafka.written)
        # 256 KiB hold some 110 of them.
        assert len(case.kafka.batches) < 6

    async def test_of_which_one_fits_into_no_batch_are_written_in_their_order(self) -> None:
        case = Case()
        letters = many(5)
        letters[2] = replace(letters[2], record=a_record(b"x" * 300_000))

        await case.dead_letters.bury_all(letters)

        assert ids(case.kafka.written) == [letter.event_id for letter in letters]

    @pytest.mark.parametrize("error", [NotLeaderForPartitionError(), TOO_LARGE])
    async def test_that_a_broker_does_not_take_together_are_written_in_their_order(
        self, error: Exception
    ) -> None:
        case = Case()
        case.kafka.refusals.extend([error, None, error])
        letters = many(4)

        await case.dead_letters.bury_all(letters)

        assert ids(case.kafka.written) == [letter.event_id for letter in letters]
        # After a failed batch the next one has a new client.
        assert case.kafka.stopped == case.kafka.started - 1 > 0
        assert not case.dead_letters.is_held

    async def test_with_a_name_that_is_no_utf_8_are_written_in_their_order(self) -> None:
        case = Case()
        letters = many(3)
        odd = a_record(b"{}", ("\udcff", b"1"))
        letters[1] = replace(letters[1], record=odd)

        await case.dead_letters.bury_all(letters)

        assert len(case.kafka.batches) == len(case.kafka.written) == 3
        assert b"evt_1" in case.kafka.written[1]["value"]


class TestPublishBatch:
    async def test_tells_how_many_fitted(self) -> None:
        case = Case()
        records: Any = [(b"k", bytes(100_000), [("a", b"1")])] * 5

        assert await case.producer.publish_batch("t", 0, records) == 2
        assert await case.producer.publish_batch("t", 0, records[:1]) == 1
        assert [len(batch) for batch in case.kafka.batches] == [2, 1]

    async def test_has_one_that_is_too_large_for_others_beside_it(self) -> None:
        case = Case()
        records: Any = [(b"k", bytes(300_000), ()), (b"k", b"v", ())]

        assert await case.producer.publish_batch("t", 0, records) == 1
        assert [len(batch) for batch in case.kafka.batches] == [1]

    async def test_writes_nothing_if_the_first_one_has_a_name_that_is_no_utf_8(self) -> None:
        case = Case()

        count = await case.producer.publish_batch("t", 0, [(b"k", b"v", (("\udcff", b"1"),))])

        assert (count, case.kafka.batches) == (0, [])

    @pytest.mark.parametrize(
        ("answer", "raised"),
        [(NotLeaderForPartitionError(), BrokerError), (TOO_LARGE, RecordRefusedError)],
    )
    async def test_raises_what_the_broker_answers(
        self, answer: Exception, raised: type[Exception]
    ) -> None:
        case = Case()
        case.kafka.refusals.append(answer)

        with pytest.raises(raised):
            await case.producer.publish_batch("t", 0, [(b"k", b"v", ())])

        assert len(case.failures) == 1


class TestRouter:
    async def test_moves_an_event_without_a_timestamp_that_is_refused(self) -> None:
        case = Case()
        case.kafka.refusals.extend([InvalidTimestampError(), InvalidTimestampError()])
        event = an_event()

        await KafkaRouter(case.producer, NAMES, lambda: 3).reroute(event, 1)

        (written,) = case.kafka.written
        assert written["timestamp_ms"] is None
        assert ("hookseal-event-timestamp", event.timestamp.encode()) in written["headers"]

    async def test_raises_what_is_refused_for_another_reason(self) -> None:
        case = Case()
        case.kafka.max_bytes = 10

        with pytest.raises(RecordRefusedError):
            await KafkaRouter(case.producer, NAMES, lambda: 3).reroute(an_event(), 1)


async def test_a_notice_that_is_refused_is_dropped() -> None:
    case = Case()
    case.kafka.max_bytes = 10

    await KafkaNotices(case.producer, NAMES).publish(Notice("acme", "evt_1", b"{}", ()))

    assert case.failures == [("events", "record_refused")]


async def test_the_ledger_is_written_in_parts_that_fit() -> None:
    case = Case()
    letters = [a_record(b"{}", offset=number) for number in range(1201)]
    case.kafka.refusals.extend([TOO_LARGE, TOO_LARGE])

    await KafkaDeferredEvents(CLUSTER, NAMES, case.producer).settle(0, letters)

    # The first part is refused, and the others are written all the same.
    assert len(case.kafka.written) == 2
    assert case.failures == [("replays", "record_refused")]


class TestBatches:
    async def written(self, kafka: FakeKafka, *values: bytes) -> list[BaseException | None]:
        """Write all at once; return the error of each, None where it was written."""
        client = kafka()
        results: dict[int, BaseException | None] = {}

        def ended(_: Any, batch: Any, error: BaseException | None) -> None:
            results.update({id(write): error for write in batch})

        lane = PartitionWriter("events", 0, on_ended=ended)
        writes = [PendingRecord(0, b"acme", value, ()) for value in values]
        PendingAck(writes)
        for write in writes:
            lane.put(write)
        while len(results) < len(writes):
            if lane.is_ready:
                await lane.send(client)
            await asyncio.sleep(0)
        return [results[id(write)] for write in writes]

    async def test_fail_for_the_one_record_that_is_refused(self) -> None:
        kafka = FakeKafka()
        kafka.max_bytes = 500

        results = await self.written(kafka, b"1", b"x" * 1000, b"3", b"4")

        assert [type(error) for error in results] == [
            type(None),
            MessageSizeTooLargeError,
            type(None),
            type(None),
        ]
        assert [one["value"] for one in kafka.written] == [b"1", b"3", b"4"]

    async def test_fail_for_the_one_record_that_cannot_be_encoded(self) -> None:
        kafka = FakeKafka()
        kafka.unsent.extend([OverflowError(), OverflowError()])

        results = await self.written(kafka, b"1", b"bad", b"3")

        assert [type(error) for error in results] == [type(None), OverflowError, type(None)]

    async def test_fail_as_a_whole_for_what_is_temporary(self) -> None:
        kafka = FakeKafka()
        kafka.refusals.append(NotLeaderForPartitionError())

        results = await self.written(kafka, b"1", b"2")

        assert len({id(error) for error in results if error}) == 1
        assert kafka.written == []
