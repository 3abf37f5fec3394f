"""Keep reading other partitions when one cannot be read.

Symptom: aiokafka raises an error that concerns one partition (a record larger than the fetch, no
permission for its topic) from the fetch of all of them, and Faust ends the worker.
Patches: AIOKafkaConsumerThread._fetch_records.
Test: TestFetch.test_that_fails_for_one_partition_is_sent_again.
Drop when: a Faust release handles these errors per partition.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.errors import RecordTooLargeError, TopicAuthorizationFailedError
from faust.transport.drivers import aiokafka as driver

from hookseal.retry import LogThrottle

# Errors of aiokafka that concern a partition and not the group.
_OF_ONE_PARTITION = (RecordTooLargeError, TopicAuthorizationFailedError)
_AFTER_FAILURE_S = 1.0


class PartitionErrorsThread(driver.AIOKafkaConsumerThread):
    """A consumer thread that logs an error of one partition and retries."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log_throttle = LogThrottle()

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._fetch_records(consumer, *args, **kwargs)
        except _OF_ONE_PARTITION as error:
            # Raised again with each fetch of that partition; the others go on.
            if self._log_throttle.lines(time.monotonic()):
                self.log.error("A partition cannot be read: %r. Retrying.", error)  # noqa: TRY400
            await asyncio.sleep(_AFTER_FAILURE_S)
            return {}
