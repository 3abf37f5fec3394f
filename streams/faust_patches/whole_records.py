"""Keep the record as it was fetched.

Symptom: Faust's message keeps the timestamp as a float of seconds, which loses digits of a large
timestamp. It drops every attribute that Faust does not know, such as `fault`, which says that the
record could not be read whole.
Patches: Consumer._to_message, which adds the attribute `record` to the message.
Test: tests/unit/streams/test_whole_records.py.
Drop when: never; the message of a stream library is not the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver

from hookseal.kafka.consumer import record_from

if TYPE_CHECKING:
    from faust.types import TP, ConsumerMessage


class WholeRecords(driver.Consumer):
    """A consumer whose messages have an attribute `record`."""

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        message = super()._to_message(tp, record)
        cast("Any", message).record = record_from(record)
        return message
