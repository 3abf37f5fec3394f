from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from aiokafka import ConsumerRecord
from faust.types import TP

from hookseal.domain.record import Record, RecordFault
from hookseal.kafka.record_batches import ImperfectRecord

if TYPE_CHECKING:
    from streams.faust_app import HooksealApp

# Of 64 bits, as a producer may write it: as a float of seconds it would lose its last digits.
TIMESTAMP_MS = 2**62 + 1
HEADERS = (("a", b"1"), ("a", None))
FIELDS = ("events", 0, 7, TIMESTAMP_MS, 0, b"acme", b"{}", None, 4, 2, HEADERS)


def test_a_message_carries_the_record_as_it_was_fetched(app: HooksealApp) -> None:
    message: Any = cast("Any", app.consumer)._to_message(TP("events", 0), ConsumerRecord(*FIELDS))

    assert message.record == Record("events", 0, 7, b"acme", b"{}", HEADERS, TIMESTAMP_MS)


def test_and_what_is_wrong_with_it(app: HooksealApp) -> None:
    fault = RecordFault("batch_corrupt", "The batch cannot be decoded.", 5, 100)
    fetched = ImperfectRecord(*FIELDS, fault)

    message: Any = cast("Any", app.consumer)._to_message(TP("events", 0), fetched)

    assert message.record.fault == fault
