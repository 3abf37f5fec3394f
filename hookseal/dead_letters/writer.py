"""Writes dead letters, retries until Kafka has them, and cuts those that are too large."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.dead_letter import LETTER_MIN_BYTES
from hookseal.errors import RecordRefusedError
from hookseal.kafka.producer import REQUEST_MAX_BYTES, is_too_large
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.kafka.producer import NewRecord, Producer
    from hookseal.kafka.topics import TopicNames
    from hookseal.telemetry.observer import Observer

_HELD_AFTER_S = 5.0
_PAUSE_S = 0.5
_PAUSE_CAP_S = 10.0
_LETTER_MAX_BYTES = REQUEST_MAX_BYTES - 1024
# Each refusal for size costs a new connection. An operator may raise the limit of the topic.
_BUDGET_KEPT_S = 600.0


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
        """Count `held_after_s` seconds without an acknowledgement as a failure.

        A refused letter is retried after `pause_s` seconds, then twice as long, up to 10 s.
        """
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
        """Write the letter on its event's partition number, with the event's bytes unchanged.

        A letter that is too large is cut until it fits (`DeadLetter.fitted`). Every other error is
        retried until the write succeeds. The partition is blocked meanwhile, and nothing is lost.
        """
        hold = _Hold(self._hold_changed, self._held_after_s)
        try:
            await self._write(letter, hold)
        finally:
            hold.end()
        self._observer.buried(letter)

    async def _write(self, letter: DeadLetter, hold: _Hold) -> None:
        delay = RetryDelay(self._pause_s, _PAUSE_CAP_S)
        while True:
            max_bytes = self._budget()
            try:
                await self._producer.publish_surely(
                    self._topic,
                    on_failure=hold.failed,
                    **_letter_record(letter, max_bytes),
                )
            except RecordRefusedError as error:
                if is_too_large(error) and max_bytes > LETTER_MIN_BYTES:
                    self._max_bytes = min(self._max_bytes, max(LETTER_MIN_BYTES, max_bytes // 2))
                    self._lowered_at = asyncio.get_running_loop().time()
                    continue
                hold.failed()
            except Exception as error:  # noqa: BLE001
                # The last resort: an error that nobody expected must not lose the letter, nor
                # end the partition without an alarm.
                if hold.failures == 0:
                    self._observer.crashed(letter.event_id, error)
                hold.failed()
            else:
                return
            # An operator can restore the topic or the rights while the worker runs.
            await asyncio.sleep(delay.next_s())

    def _budget(self) -> int:
        """Return the size limit of a letter in bytes; lower while the broker refuses more."""
        if asyncio.get_running_loop().time() - self._lowered_at > _BUDGET_KEPT_S:
            self._max_bytes = _LETTER_MAX_BYTES
        return self._max_bytes

    def _hold_changed(self, failures: int) -> None:
        if failures:
            self._held += failures == 1
            self._observer.bury_failed(failures)
        else:
            self._held -= 1
            self._observer.bury_ended()


def _letter_record(letter: DeadLetter, max_bytes: int) -> NewRecord:
    key, value, headers = letter.fitted(max_bytes)
    return {
        "key": key,
        "value": value,
        "headers": headers,
        "partition": letter.record.partition,
    }


class _Hold:
    """Counts the failures of one letter; calls `changed` with each number, and with 0 at the end.

    The client retries on its own and reports nothing, hence a timer.
    """

    def __init__(self, changed: Callable[[int], None], after_s: float) -> None:
        self._changed = changed
        self._after_s = after_s
        self.failures = 0
        self._timer = asyncio.get_running_loop().call_later(after_s, self._late)

    def failed(self) -> None:
        """Count a refused or late write."""
        self.failures += 1
        self._changed(self.failures)

    def end(self) -> None:
        """The letter is written, or its partition was revoked."""
        self._timer.cancel()
        if self.failures:
            self._changed(0)

    def _late(self) -> None:
        self.failed()
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._late)
