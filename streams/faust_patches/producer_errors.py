"""Report a record that the client refuses to its sender.

Symptom: the client refuses a record at once (it is larger than `max_request_size`, the topic is
unknown or may not be written). Faust sends in a background task, where the error ends the worker,
and the future of the record is never done. Every worker that reads the same command ends the same
way.
Patches: Producer.send.
Test: TestReportingProducer.
Drop when: a Faust release sets the error on the future of the record (`ProducerBuffer`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver


class ReportingProducer(driver.Producer):
    """Faust's producer, which never raises for one record."""

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        """Schedule the record; a refusal of the client is the result of the future."""
        try:
            return await super().send(*args, **kwargs)
        except ProducerSendError as error:
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(error.__cause__ or error)
            return failed
