"""One partition on the real engine: a log, its commits, and owners that come and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.delivery.ordering import Limits, OffsetTracker, PartitionScheduler, offset_metadata
from hookseal.delivery.ordering.keys import OrderingKeyFinder
from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from hookseal.delivery.ports import Answer
from hookseal.delivery.suspension import SuspensionRules
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ChangeEndpoint
from hookseal.domain.dead_letter import SUSPENDED
from hookseal.domain.endpoint import EndpointOrdering, Ordering, looser
from hookseal.domain.event import BROADCAST_HEADER, ORDERING_KEY_HEADER
from hookseal.domain.record import last_header
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from hookseal.delivery.ports import SealedRequest
    from hookseal.domain.record import Headers, Record

ENDPOINTS = {"a": ("a1", "a2"), "b": ("b1",), "c": ("c1",)}
CUSTOMERS = tuple(ENDPOINTS)
EVERYBODY = "*"


class HeldClock(FakeClock):
    """A clock whose sleepers wake when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.sleepers: list[asyncio.Future[None]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append(sleeper)
        await sleeper

    def wake(self) -> None:
        sleepers, self.sleepers = self.sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)


class Request(NamedTuple):
    """An attempt on the wire."""

    customer: str
    endpoint: str
    offset: int
    answer: asyncio.Future[int]


class Owner:
    """A worker that owns the partition, from what is committed on."""

    def __init__(self, partition: Partition) -> None:
        self.tracker = OffsetTracker()
        self.tracker.load(
            partition.committed,
            offset_metadata.decode(partition.committed_note, partition.committed),
        )
        at_a_time = None if partition.ordering == "partition" else partition.at_a_time
        engine = partition.engine
        engine.restart()
        self.suspensions = engine.suspensions
        self._drains = PartitionContext(
            0, clock=engine.clock, observer=engine.observer, at_a_time=at_a_time
        )
        self.suspensions.start(self._drains)
        self.scheduler = PartitionScheduler(
            PartitionContext(0, clock=engine.clock, observer=engine.observer, at_a_time=at_a_time),
            tracker=self.tracker,
            work=engine.deliver,
            ordering_keys=OrderingKeyFinder(partition.ordering, engine.deliver.split),
            limits=partition.limits,
            now=engine.clock.now,
            pressure=self.suspensions,
            defer=engine.deliver.defer,
            beside=PartitionContext(
                0, clock=engine.clock, observer=engine.observer, at_a_time=partition.at_a_time
            )
            if partition.ordering == "partition"
            else None,
        )
        self._partition = partition
        self._feed = asyncio.create_task(self._read())

    async def _read(self) -> None:
        partition = self._partition
        for offset in range(self.tracker.low_watermark, 1 << 30):
            while offset >= len(partition.log):
                partition.more.clear()
                await partition.more.wait()
            try:
                await self.scheduler.submit(partition.log[offset])
            except PartitionStoppedError:
                return
            if self.scheduler.context.stopped:
                return

    def stop(self) -> None:
        self.scheduler.stop()
        self._drains.stop()

    def stop_reading(self) -> None:
        self._feed.cancel()

    async def kill(self) -> None:
        self._feed.cancel()
        self.scheduler.cancel()
        self.scheduler.stop()
        await self.suspensions.stop({0})


class Partition:
    """The log, what is committed of it, and what became of each delivery."""

    def __init__(
        self,
        ordering: Ordering,
        *,
        at_a_time: int = 2,
        max_queued_per_key: int = 3,
        window: int = 12,
        attempts: int = 3,
        suspend_after: int = 0,
        hold_s: float = 0.0,
        relaxed: dict[str, EndpointOrdering] | None = None,
    ) -> None:
        self.ordering = ordering
        self.at_a_time = at_a_time
        self.limits = Limits(events=window, waiting=max_queued_per_key, hold_s=hold_s)
        # The modes that each endpoint had so far.
        self.modes = {
            name: {looser(ordering, (relaxed or {}).get(name))}
            for endpoints in ENDPOINTS.values()
            for name in endpoints
        }
        self.log: list[Record] = []
        self.violations: list[str] = []
        self.more = asyncio.Event()
        self.committed, self.committed_note = 0, ""
        self.changes = 0
        self.wire: list[Request] = []
        self.attempted: list[tuple[str, int]] = []
        self.clock = HeldClock()
        tenants = [
            a_tenant(
                name,
                *(an_endpoint(one, ordering=(relaxed or {}).get(one)) for one in endpoints),
            )
            for name, endpoints in ENDPOINTS.items()
        ]
        self.engine = Engine(
            *tenants,
            backoff=Backoff(jitter=0, max_attempts=attempts),
            clock=self.clock,
            rules=SuspensionRules(after=suspend_after),
        )
        self.engine.transport.post = self._post  # type: ignore[method-assign, assignment]
        self.owner = Owner(self)

    async def _post(self, request: SealedRequest, _: object) -> Answer:
        endpoint = request.url.rsplit("/", 1)[-1]
        offset = int(request.headers["webhook-id"].removeprefix("evt_"))
        on_wire = Request(endpoint[0], endpoint, offset, asyncio.get_running_loop().create_future())
        self.attempted.append((endpoint, offset))
        self._check_attempt(endpoint, offset)
        self.wire.append(on_wire)
        try:
            return Answer(await on_wire.answer)
        finally:
            self.wire.remove(on_wire)

    def _check_attempt(self, endpoint: str, offset: int) -> None:
        # Noted, not raised: to the engine it would be one more failed attempt.
        if self.is_committed(offset) and (endpoint, offset) not in self.deferred():
            self.violations.append(f"{endpoint}: {offset} was committed as finished")
        if "unordered" in self.modes[endpoint]:
            return
        decided, for_good = self.decided(), self.decided_for_good()
        for earlier in range(offset):
            if "key" in self.modes[endpoint] and self._key_of(earlier) != self._key_of(offset):
                continue
            expected = set(self.deliveries(earlier))
            if (endpoint, earlier) in expected - for_good:
                self.violations.append(f"{endpoint}: {offset} before its {earlier} was decided")
            waited_for = {(one, at) for one, at in expected if self._waits_for(endpoint, one)}
            if not waited_for <= decided:
                self.violations.append(f"{endpoint}: {offset} before {earlier} was decided")

    def _waits_for(self, endpoint: str, other: str) -> bool:
        if endpoint == other:
            return True
        if self.modes[endpoint] == self.modes[other] == {"partition"}:
            # Events of a suspended endpoint are deferred beside the sequence.
            return other not in self.engine.observer.suspended_because
        return endpoint[0] == other[0] and self.modes[endpoint] == self.modes[other] == {"customer"}

    async def relax(self, endpoint: str, own: EndpointOrdering | None) -> None:
        """Change the endpoint's own ordering mode; None = the operator's."""
        self.modes[endpoint].add(looser(self.ordering, own))
        await self._change(endpoint, ordering=own, operators_ordering=own is None)

    def publish(self, customer: str, ordering_key: str = "k") -> int:
        offset = len(self.log)
        headers: Headers = ((ORDERING_KEY_HEADER, ordering_key.encode()),)
        if customer == EVERYBODY:
            headers = (*headers, (BROADCAST_HEADER, b"1"))
            self.log.append(a_record(None, *headers, key=None, offset=offset))
        else:
            self.log.append(a_record(None, *headers, key=customer.encode(), offset=offset))
        self.more.set()
        return offset

    def _key_of(self, offset: int) -> bytes | None:
        return last_header(self.log[offset].headers, ORDERING_KEY_HEADER)

    def deliveries(self, offset: int) -> list[tuple[str, int]]:
        """Return what must be decided for an event: endpoint and offset."""
        key = self.log[offset].key
        customers = CUSTOMERS if key is None else (key.decode(),)
        return [(name, offset) for customer in customers for name in ENDPOINTS[customer]]

    def decided(self) -> set[tuple[str, int]]:
        return {
            (endpoint, int(event_id.removeprefix("evt_")))
            for event_id, endpoint, _ in self.engine.observer.ended
        }

    def decided_for_good(self) -> set[tuple[str, int]]:
        """Return what was accepted or given up, and not only set aside."""
        return {
            (endpoint, int(event_id.removeprefix("evt_")))
            for event_id, endpoint, outcome in [
                *self.engine.observer.ended,
                *self.engine.observer.drains,
            ]
            if outcome.code != SUSPENDED
        }

    def deferred(self) -> set[tuple[str | None, int]]:
        return {
            (letter.endpoint_id, int(letter.event_id.removeprefix("evt_")))
            for letter in self.engine.dead_letters.letters
            if letter.reason == SUSPENDED
        }

    def is_committed(self, offset: int) -> bool:
        above = offset_metadata.decode(self.committed_note, self.committed)
        return offset < self.committed or any(start <= offset < end for start, end in above)

    def commit(self) -> None:
        tracker = self.owner.tracker
        self.committed = tracker.low_watermark
        self.committed_note = offset_metadata.encode(
            tracker.low_watermark, tracker.completed_ranges
        )
        decided = self.decided()
        for offset in range(len(self.log)):
            if self.is_committed(offset):
                assert set(self.deliveries(offset)) <= decided, f"{offset} is not finished"

    def answer(self, number: int, status: int) -> None:
        """Answer one of the attempts on the wire, if there are any."""
        waiting = [request for request in self.wire if not request.answer.done()]
        if waiting:
            waiting[number % len(waiting)].answer.set_result(status)

    def answer_all(self, status: int = 200, **by_customer: int) -> None:
        for request in self.wire:
            if not request.answer.done():
                request.answer.set_result(by_customer.get(request.customer, status))

    async def rebalance(self, late: int | None = 200) -> None:
        """Hand over politely: what is on the wire ends with `late`, or is cut off (None)."""
        before = len(self.attempted)
        self.owner.stop()
        await steps()
        assert len(self.attempted) == before, "a stopped lane started an attempt"
        if late is not None:
            self.answer_all(late)
            await steps()
        self.commit()
        await self._succeed()

    async def crash(self) -> None:
        """Kill the owner: nothing more is committed."""
        await self._succeed()

    async def _succeed(self) -> None:
        await self.owner.kill()
        await steps()
        assert self.wire == []
        self.owner = Owner(self)
        await steps()

    async def finish(self) -> None:
        """Answer everything with 200 until all is decided, then check that nothing is lost."""
        expected = {pair for offset in range(len(self.log)) for pair in self.deliveries(offset)}
        for _ in range(20 * len(self.log) + 20):
            await self._enable_all()
            self.answer_all()
            self.clock.wake()
            await steps()
            if (
                self.owner.tracker.low_watermark == len(self.log)
                and self.decided_for_good() == expected
            ):
                break
        self.commit()
        assert self.committed == len(self.log)
        assert self.decided() == expected
        assert self.decided_for_good() == expected
        assert self.violations == []
        assert self.engine.observer.crashes == []
        await self.owner.kill()
        await steps()

    async def _enable_all(self) -> None:
        """Enable what a 410 disabled: what was set aside before waits for that."""
        for tenant in list(self.engine.tenants.held.values()):
            for endpoint in tenant.endpoints:
                if not endpoint.enabled and endpoint.suspension is not None:
                    await self._change(endpoint.id, enabled=True)

    async def _change(self, endpoint: str, **changes: Any) -> None:
        customer = next(name for name, endpoints in ENDPOINTS.items() if endpoint in endpoints)
        self.changes += 1
        await self.engine.commands.submit(
            ChangeEndpoint(
                customer_id=customer,
                id=f"change-{self.changes}",
                at=0.0,
                endpoint_id=endpoint,
                **changes,
            )
        )


async def steps(count: int = 60) -> None:
    """Let everything run that can."""
    # What the loop would run next. Private to asyncio, and the same from Python 3.11 to 3.13.
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(count):
        await asyncio.sleep(0)
        if not ready:
            return


def failed(partition: Partition) -> list[tuple[str, str | None]]:
    letters: list[Any] = partition.engine.dead_letters.letters
    return [(letter.event_id, letter.endpoint_id) for letter in letters]
