"""Writes dead letters, retries until Kafka has them, and cuts those that are too large."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.dead_letter import LETTER_MIN_BYTES
from hookseal.errors import BrokerError, RecordRefusedError
from hookseal.kafka.producer import REQUEST_MAX_BYTES, is_too_large
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames
    from hookseal.telemetry.observer import Observer

_HELD_AFTER_S = 5.0
_PAUSE_S = 0.5
_PAUSE_CAP_S = 10.0
_LETTER_MAX_BYTES = REQUEST_MAX_BYTES - 1024
# Each refusal for size costs a new connection. An operator may raise the limit of the topic.
_LIMIT_KEPT_S = 600.0


class KafkaDeadLetters:
    """`DeadLetters` on the topic `dead-letters`."""

    def __init__(
        self,
        producer: Producer,
        names: TopicNames,
        observer: Observer,
        *,
        held_after_s: float = _HELD_AFTER_S,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """Count `held_after_s` seconds without an acknowledgement as a failure."""
        self._producer = producer
        self._topic = names.dead_letters
        self._observer = observer
        self._held_after_s = held_after_s
        self._pause_s = pause_s
        self._held = 0
        self._max_bytes = _LETTER_MAX_BYTES
        self._lowered_at = 0.0

    @property
    def is_held(self) -> bool:
        """Whether a letter cannot be written at present, so that its partition is blocked."""
        return self._held > 0

    async def bury(self, letter: DeadLetter) -> None:
        """Write the dead letter on its event's partition number, with the event's bytes unchanged.

        A letter that is too large is cut until it fits (`DeadLetter.fitted`). Every other error is
        retried until the write succeeds. The partition is blocked meanwhile, and no event is lost.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        timer: asyncio.TimerHandle

        def failed() -> None:
            nonlocal failures
            failures += 1
            self._held += failures == 1
            self._observer.bury_failed(failures)

        def late() -> None:
            # The client retries without a report, so a timer counts.
            nonlocal timer
            failed()
            timer = loop.call_later(self._held_after_s, late)

        timer = loop.call_later(self._held_after_s, late)
        delay = RetryDelay(self._pause_s, _PAUSE_CAP_S)
        try:
            while True:
                if loop.time() - self._lowered_at > _LIMIT_KEPT_S:
                    self._max_bytes = _LETTER_MAX_BYTES
                max_bytes = self._max_bytes
                try:
                    key, value, headers = letter.fitted(max_bytes)
                    await self._producer.publish_surely(
                        self._topic,
                        on_failure=failed,
                        key=key,
                        value=value,
                        headers=headers,
                        partition=letter.record.partition,
                    )
                    break
                except RecordRefusedError as error:
                    if is_too_large(error) and max_bytes > LETTER_MIN_BYTES:
                        smaller = max(LETTER_MIN_BYTES, max_bytes // 2)
                        self._max_bytes = min(self._max_bytes, smaller)
                        self._lowered_at = loop.time()
                        continue
                    failed()
                except Exception as error:  # noqa: BLE001
                    # An unexpected error must neither lose the dead letter nor stop the partition
                    # without an alarm.
                    if failures == 0:
                        self._observer.crashed(letter.event_id, error)
                    failed()
                # An operator can restore the topic or the rights while the worker runs.
                await asyncio.sleep(delay.next_s())
        finally:
            timer.cancel()
            if failures:
                self._held -= 1
                self._observer.bury_ended()
        self._observer.buried(letter)

    async def bury_all(self, letters: Sequence[DeadLetter]) -> None:
        """Write the dead letters of one partition in their order, many in a batch.

        Kafka writes a batch whole or not at all, and the next one follows its acknowledgement, so
        no retry changes the order.
        """
        partition = letters[0].record.partition
        written = 0
        while written < len(letters):
            fitted = [letter.fitted(self._max_bytes) for letter in letters[written:]]
            try:
                count = await self._producer.publish_batch(self._topic, partition, fitted)
            except (RecordRefusedError, BrokerError):
                count = 0
            if not count:
                break
            for letter in letters[written : written + count]:
                self._observer.buried(letter)
            written += count
        for letter in letters[written:]:
            await self.bury(letter)
