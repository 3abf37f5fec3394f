"""Reads the tenants from their changelog, and reconnects after each error."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.consumer import LogFollower
from hookseal.kafka.topics import TopicNames
from hookseal.retry import RetryDelay
from hookseal.telemetry.logs import logger
from hookseal.tenants.freshness_probe import FreshnessProbe
from hookseal.tenants.index import TenantIndex, TenantWaiters
from hookseal.tenants.key_check import UnauthenticatedRecords, master_key_wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiokafka import ConsumerRecord

    from hookseal.errors import ConfigurationError
    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec

_PAUSE_S = 0.5
_PAUSE_CAP_S = 5.0
_LOG_PROGRESS_EVERY_S = 1.0

_log = logger(__name__)


class TenantChangelogConsumer:
    """Reads the changelog from its start and follows it. While the broker is down, tenants stay.

    A topic that is missing, recreated or forbidden is read from its start once that is possible.

    Attributes:
        index: The tenants; incomplete or of a deleted topic unless `recovered`.
        outdated: Customer ids of tenants whose record has a MAC of a previous master key.
        waiters: Notified of every change, once `recovered`.
        recovered: Whether all records that the changelog had at the start are read.
        error: Why the changelog or its end cannot be read now; or None.
        wrong_key: Set while all records that were read have a MAC of another master key.
    """

    def __init__(
        self,
        cluster: Cluster,
        codec: TenantCodec,
        *,
        partitions: Iterable[int] | None = None,
        on_forged: Callable[[], None] = lambda: None,
    ) -> None:
        """Follow these partitions; None = all. Call `on_forged` for each record without our MAC."""
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
        self._partitions = None if partitions is None else tuple(partitions)
        self._logged_code: str | None = None
        self._began = 0.0
        self._follower: LogFollower | None = None
        self._probe: FreshnessProbe | None = None
        self._first = asyncio.Event()
        self._key_known = asyncio.Event()
        self._has_genuine = False
        self._first_is_awaited = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to read; return at once. Broker errors are retried."""
        self._task = asyncio.create_task(self._keep_following())

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def first(self) -> None:
        """Return once all records that the changelog had at the start are read.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`, `topic_unreadable`,
                `topic_replaced`, `tenants_failed`: the error of the first try, which is retried.
            ConfigurationError: `master_key_wrong`.
        """
        self._first_is_awaited = True
        await self._first.wait()
        if not self.recovered and (error := self.wrong_key or self.error) is not None:
            raise error

    async def key_known(self) -> ConfigurationError | None:
        """Return `master_key_wrong`, or None if the key fits; wait while no broker answers."""
        await self._key_known.wait()
        return self.wrong_key

    @property
    def age_s(self) -> float | None:
        """Seconds since the tenants were certainly up to date; None = unknown."""
        return None if self._probe is None else self._probe.age_s

    async def settle(self, timeout_s: float) -> bool:
        """Wait until all records that the changelog has now are read; return whether they are.

        Afterwards a missing tenant or key does not exist. Callers share requests to the broker.
        """
        return self.recovered and self._probe is not None and await self._probe.settle(timeout_s)

    def progress(self) -> tuple[int, int]:
        """Return how many offsets are read, and of how many; 0, 0 = unknown."""
        if self._follower is None or self._probe is None:
            return 0, 0
        ends, starts, positions = self._probe.ends, self._follower.starts, self._follower.positions
        return (
            sum(positions[partition] - starts[partition] for partition in ends),
            sum(end - starts[partition] for partition, end in ends.items()),
        )

    async def _keep_following(self) -> None:
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        while True:
            try:
                await self._follow()
            except BrokerError as error:
                self._on_probed(error)
            except Exception:  # noqa: BLE001 - the tenants must be followed after every error
                _log.error("tenants.internal_error", exc_info=True)
                self._on_probed(
                    BrokerError("tenants_failed", "The tenants cannot be read. See the log.")
                )
            if self.recovered:
                delay.reset()
            self.recovered = False
            self._probe = self._follower = None
            self._first.set()
            await asyncio.sleep(delay.next_s())

    async def _follow(self) -> NoReturn:
        self._began = time.monotonic()
        async with LogFollower(self._cluster, self._topic, self._partitions) as follower:
            self.index = TenantIndex(self._codec.tenant_of)
            self.outdated.clear()
            self._forged.clear()
            self._has_genuine, self.wrong_key = False, None
            self._follower = follower
            self._probe = FreshnessProbe(
                follower.ends,
                follower.positions,
                on_asked=self._on_probed,
                on_caught_up=self._on_caught_up,
            )
            tasks = (
                asyncio.create_task(self._probe.run()),
                asyncio.create_task(self._read(follower, self._probe)),
            )
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                errors = [task.exception() for task in tasks if not task.cancelled()]
        raise next(error for error in errors if error is not None)

    def _on_probed(self, error: BrokerError | None) -> None:
        self.error = error
        if self._first_is_awaited and not self._first.is_set():
            # `first` raises it.
            return
        if error is not None and error.code != self._logged_code:
            self._logged_code = error.code
            _log.warning("tenants.read_failed", code=error.code, reason=error.message)

    def _on_caught_up(self) -> None:
        if not self.recovered:
            foreign = 0 if self._has_genuine else len(self._forged.keys)
            self.wrong_key = master_key_wrong(foreign) if foreign else None
            self._key_known.set()
            if self.wrong_key is not None:
                # Not reported as forged: the configuration is wrong.
                self._first.set()
                if self._logged_code != self.wrong_key.code:
                    self._logged_code = self.wrong_key.code
                    _log.critical(
                        "tenants.load_failed",
                        code=self.wrong_key.code,
                        field=self.wrong_key.field,
                        message=self.wrong_key.message,
                    )
                return
            self.index.sort()
            self._forged.report()
            self.recovered = True
            seconds = round(time.monotonic() - self._began, 3)
            _log.info("tenants.loaded", tenants=len(self.index), duration_s=seconds)
            for customer_id in self.waiters:
                self.waiters.notify(customer_id, self.index.get(customer_id))
            self._first.set()
        elif self._logged_code is not None:
            _log.info("tenants.read_resumed")
        self._logged_code = None

    async def _read(self, follower: LogFollower, probe: FreshnessProbe) -> None:
        log_at = time.monotonic() + _LOG_PROGRESS_EVERY_S
        while True:
            for record in await follower.batch():
                self._apply(record)
            await follower.taken()
            probe.advanced()
            if not self.recovered and time.monotonic() >= log_at:
                log_at += _LOG_PROGRESS_EVERY_S
                read, total = self.progress()
                percent = 100 * read // total if total else None
                _log.info("tenants.loading", read=read, total=total, percent=percent)
            # The consumer does not yield to the event loop while it has records.
            await asyncio.sleep(0)

    def _apply(self, record: ConsumerRecord) -> None:
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
                # As if the record did not exist: the tenant's own document stays in force.
                self._forged.note(record.key, record.topic, record.partition, record.offset)
                if self.recovered:
                    self._forged.report()
                return
            self._has_genuine = True
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
        # Before recovery a state may be old, and a missing tenant may follow in a later record.
        if self.recovered:
            self.waiters.notify(customer_id, tenant)
