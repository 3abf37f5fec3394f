"""Feeds the tenant index from the changelog, and restarts after each error."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NoReturn

import structlog

from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.consumer import LogFollower
from hookseal.kafka.topics import TopicNames
from hookseal.retry import RetryDelay
from hookseal.tenants.freshness_probe import FreshnessProbe
from hookseal.tenants.index import TenantIndex
from hookseal.tenants.key_check import master_key_wrong
from hookseal.tenants.unauthenticated import UnauthenticatedRecords
from hookseal.tenants.waiters import TenantWaiters

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import ConsumerRecord

    from hookseal.errors import ConfigurationError
    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec

_PAUSE_S = 0.5
_PAUSE_CAP_S = 5.0
_TELL_EVERY_S = 1.0

# As in `tenant_index`: never on stdout.
_log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(__name__), wrapper_class=structlog.stdlib.BoundLogger
)


class TenantChangelogConsumer:
    """Reads the changelog from its start and follows it.

    While the broker is away, the tenants stay as they were read last. A topic that is missing,
    created again or forbidden is read from its start once that is possible.

    Attributes:
        index: The tenants; incomplete or of a deleted topic unless `recovered`.
        outdated: Customer ids of tenants whose record has a MAC of a previous master key.
        waiters: Get every change, once `recovered`.
        recovered: Whether everything that the changelog had at the start is read.
        error: Why the changelog or its end cannot be read now; or None.
        wrong_key: Set while every record that was read is of another master key; or None.
    """

    def __init__(
        self,
        cluster: Cluster,
        codec: TenantCodec,
        partitions: tuple[int, ...] | None = None,
        *,
        on_forged: Callable[[], None] = lambda: None,
    ) -> None:
        """Follow these partitions; None = all."""
        self.index = TenantIndex(codec.tenant_of)
        self.outdated: set[str] = set()
        self.waiters = TenantWaiters()
        self.recovered = False
        self.error: BrokerError | None = None
        self.wrong_key: ConfigurationError | None = None
        self._cluster = cluster
        self._codec = codec
        self._forged = UnauthenticatedRecords(on_forged)
        self._topic = TopicNames(cluster.topic_prefix).tenants_changelog
        self._partitions = partitions
        self._said: str | None = None
        self._began = 0.0
        self._log: LogFollower | None = None
        self._end: FreshnessProbe | None = None
        self._first = asyncio.Event()
        self._key_known = asyncio.Event()
        self._genuine = False
        self._first_is_raised = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in the background."""
        self._task = asyncio.create_task(self._keep_following())

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def first(self) -> None:
        """Return once everything is read, or raise the error of the first try.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `topic_unreadable`,
                `topic_replaced`, `tenants_failed`.
            ConfigurationError: `master_key_wrong`.
        """
        self._first_is_raised = True
        await self._first.wait()
        if not self.recovered and (trouble := self.wrong_key or self.error) is not None:
            raise trouble

    async def key_known(self) -> ConfigurationError | None:
        """Return once it is known whether the master key fits: `master_key_wrong`, or None.

        It is not known while no broker answers.
        """
        await self._key_known.wait()
        return self.wrong_key

    @property
    def age_s(self) -> float | None:
        """Seconds since the tenants were certainly up to date; None = unknown."""
        return None if self._end is None else self._end.age_s

    async def settle(self, timeout_s: float) -> bool:
        """Wait until everything that the log has now is read; return whether that succeeded."""
        return self.recovered and self._end is not None and await self._end.settle(timeout_s)

    def progress(self) -> tuple[int, int]:
        """Return how many offsets are read, and of how many; 0, 0 = unknown."""
        if self._log is None or self._end is None:
            return 0, 0
        ends, starts = self._end.ends, self._log.starts
        return (
            sum(self._log.positions[partition] - starts[partition] for partition in ends),
            sum(end - starts[partition] for partition, end in ends.items()),
        )

    async def _keep_following(self) -> None:
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        while True:
            try:
                await self._follow()
            except BrokerError as error:
                self._heard(error)
            except Exception:  # noqa: BLE001 - whatever it was, the tenants must go on
                _log.error("tenants.crashed", exc_info=True)
                self._heard(
                    BrokerError("tenants_failed", "Reading the tenants failed; see the log.")
                )
            if self.recovered:
                delay.reset()
            self.recovered = False
            self._end = self._log = None
            self._first.set()
            await asyncio.sleep(delay.next_s())

    async def _follow(self) -> NoReturn:
        self._began = time.monotonic()
        async with LogFollower(self._cluster, self._topic, self._partitions) as log:
            self.index = TenantIndex(self._codec.tenant_of)
            self.outdated.clear()
            self._forged.clear()
            self._genuine, self.wrong_key = False, None
            self._log = log
            self._end = FreshnessProbe(
                log.ends, log.positions, heard=self._heard, caught_up=self._caught_up
            )
            tasks = (
                asyncio.create_task(self._end.run()),
                asyncio.create_task(self._read(log, self._end)),
            )
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                errors = [task.exception() for task in tasks if not task.cancelled()]
        raise next(error for error in errors if error is not None)

    def _heard(self, trouble: BrokerError | None) -> None:
        self.error = trouble
        if self._first_is_raised and not self._first.is_set():
            return
        if trouble is not None and trouble.code != self._said:
            self._said = trouble.code
            _log.warning("tenants.away", code=trouble.code, reason=trouble.message)

    def _caught_up(self) -> None:
        if not self.recovered:
            foreign = 0 if self._genuine else len(self._forged.keys)
            self.wrong_key = master_key_wrong(foreign) if foreign else None
            self._key_known.set()
            if self.wrong_key is not None:
                # Not reported as forged: the configuration is at fault.
                self._first.set()
                if self._said != self.wrong_key.code:
                    self._said = self.wrong_key.code
                    _log.critical(
                        "tenants.refused",
                        code=self.wrong_key.code,
                        field=self.wrong_key.field,
                        message=self.wrong_key.message,
                    )
                return
            self.index.sort()
            self._forged.report()
            self.recovered = True
            _log.info("tenants.recovered", tenants=len(self.index), seconds=self._seconds())
            for customer_id in self.waiters:
                self.waiters.tell(customer_id, self.index.get(customer_id))
            self._first.set()
        elif self._said is not None:
            _log.info("tenants.back")
        self._said = None

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    async def _read(self, log: LogFollower, end: FreshnessProbe) -> None:
        tell_at = time.monotonic() + _TELL_EVERY_S
        while True:
            for record in await log.batch():
                self._take(record)
            await log.taken()
            end.advanced()
            if not self.recovered and time.monotonic() >= tell_at:
                tell_at += _TELL_EVERY_S
                read, total = self.progress()
                percent = 100 * read // total if total else None
                _log.info("tenants.recovering", read=read, total=total, percent=percent)
            # While there are records the consumer hands them over without pausing.
            await asyncio.sleep(0)

    def _take(self, record: ConsumerRecord) -> None:
        if record.key is None:
            return
        customer_id = record.key.decode("utf-8", "replace")
        tenant = None
        if record.value is None:
            self._forged.followed(record.key)
            self.outdated.discard(customer_id)
            self.index.remove(customer_id)
        else:
            try:
                genuine = self._codec.checked_document(record.key, record.value)
            except InvalidInputError:
                # As if it were not there: what the tenant's own say goes on to hold.
                self._forged.note(record.key, record.topic, record.partition, record.offset)
                if self.recovered:
                    self._forged.report()
                return
            self._genuine = True
            self._forged.followed(record.key)
            if genuine.is_current:
                self.outdated.discard(customer_id)
            else:
                self.outdated.add(customer_id)
            try:
                tenant = self.index.put(customer_id, genuine.document)
            except InvalidInputError as error:
                _log.error(
                    "tenants.document_invalid",
                    code=error.code,
                    customer_id=customer_id,
                    partition=record.partition,
                    offset=record.offset,
                )
        # Until all is read a state may be a very old one, and no tenant may be one to come.
        if self.recovered:
            self.waiters.tell(customer_id, tenant)
