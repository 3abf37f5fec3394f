"""Stand-ins for the engine's ports, with which time and chance are in the test's hand."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.record import MemoryRecords
from aiokafka.structs import RecordMetadata

from hookseal.delivery.ports import Answer, Clock, DeferredPage, NotSentError, SealedRequest
from hookseal.domain.command import apply
from hookseal.domain.conflicts import conflict
from hookseal.domain.event_trace import FoundEvent, Search
from hookseal.domain.letter import AttemptsListed, LettersListed, ReplayPlan
from hookseal.domain.progress import Progress
from hookseal.domain.record import Position, Record, record_bytes
from hookseal.errors import (
    BrokerError,
    EventIdReusedError,
    InvalidInputError,
    RecordRefusedError,
)
from hookseal.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hookseal.dead_letters.replay import EventsWanted
    from hookseal.domain.attempt import Attempt, AttemptRecord, Outcome
    from hookseal.domain.command import Command
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Ordering, Why
    from hookseal.domain.event import Event
    from hookseal.domain.letter import Attempted, Letter, LogCursor
    from hookseal.domain.letter_filter import AttemptFilter, LetterFilter, Order
    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.domain.tenant import Tenant
    from hookseal.errors import HooksealError

Response = int | Answer | Exception
NOW = 1_700_000_000.0


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


class FakeClock(Clock):
    """Time that passes only while someone sleeps."""

    def __init__(self, draw: float = 0.5) -> None:
        self.time = NOW
        self.slept: list[float] = []
        self._draw = draw

    def now(self) -> float:
        return self.time

    def draw(self) -> float:
        return self._draw

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class StuckClock(FakeClock):
    """A clock on which no sleep ever ends; says when someone sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await asyncio.Event().wait()


class FakeGate:
    """A gate in the test's hand, closed at first."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    async def opened(self) -> None:
        await self._open.wait()


async def _at_once(_: SealedRequest) -> None:
    pass


class FakeTransport:
    """Answers each URL from its script; once that is used up, with 200."""

    def __init__(self, **scripts: Sequence[Response]) -> None:
        self.requests: list[SealedRequest] = []
        self._scripts = {name: list(script) for name, script in scripts.items()}
        self.before: Callable[[SealedRequest], None] = lambda _: None
        self.dialled: Callable[[SealedRequest], Awaitable[None]] = _at_once

    def script(self, name: str, *responses: Response) -> None:
        self._scripts[name] = list(responses)

    async def post(self, request: SealedRequest, may_send: Callable[[], bool]) -> Answer:
        await self.dialled(request)
        if not may_send():
            raise NotSentError
        self.requests.append(request)
        self.before(request)
        await asyncio.sleep(0)
        script = self._scripts.get(request.url.rsplit("/", 1)[-1])
        response = script.pop(0) if script else 200
        if isinstance(response, Exception):
            raise response
        return Answer(response) if isinstance(response, int) else response

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.requests]


class FakeTenants:
    """Tenants in a dictionary."""

    def __init__(self, *tenants: Tenant) -> None:
        self.held = {tenant.customer_id: tenant for tenant in tenants}
        self.settled: list[int] = []
        self.on_settle: Callable[[], None] = lambda: None
        self.write_ends = "ok"

    def get(self, customer_id: str) -> Tenant | None:
        return self.held.get(customer_id)

    def of_partition(self, partition: int) -> list[Tenant]:
        return list(self.held.values())

    suspended_of = relaxed_of = of_partition

    def is_shared(self, partition: int) -> bool:
        return len(self.held) > 1

    async def catch_up(self, partition: int) -> None:
        pass

    async def settle(self, partition: int) -> None:
        self.settled.append(partition)
        self.on_settle()

    def put(self, customer_id: str, tenant: Tenant | None, _: Command) -> asyncio.Future[str]:
        if tenant is None:
            self.held.pop(customer_id, None)
        else:
            self.held[customer_id] = tenant
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        done.set_result(self.write_ends)
        return done


@dataclass
class FakeDeadLetters:
    letters: list[DeadLetter] = field(default_factory=list)
    going_on: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    batches: list[int] = field(default_factory=list)

    async def bury(self, letter: DeadLetter) -> None:
        await asyncio.sleep(0)
        await self.going_on.wait()
        self.letters.append(letter)

    async def bury_all(self, letters: Sequence[DeadLetter]) -> None:
        self.batches.append(len(letters))
        for letter in letters:
            await self.bury(letter)

    @property
    def reasons(self) -> list[str]:
        return [letter.reason for letter in self.letters]


class FakeDeferredEvents:
    """The dead letters of `FakeDeadLetters` as they would stand on their topic."""

    def __init__(self, dead_letters: FakeDeadLetters, *, at_a_time: int = 3) -> None:
        self.settled: list[int] = []
        self.failing = 0
        self.broken: Exception | None = None
        self.after_end: Callable[[], Awaitable[None]] | None = None
        self._dead_letters = dead_letters
        self._at_a_time = at_a_time

    def record(self, offset: int) -> Record:
        letter = self._dead_letters.letters[offset]
        return Record(
            "dead-letters",
            letter.record.partition,
            offset,
            letter.key,
            letter.record.value,
            letter.headers(),
            int(letter.failed_at * 1000),
        )

    async def end(self, partition: int) -> int:
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise BrokerError("broker_unreachable", "No broker answers.")
        end = len(self._dead_letters.letters)
        if self.after_end is not None:
            await self.after_end()
        return end

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        await asyncio.sleep(0)
        broken, self.broken = self.broken, None
        if broken is not None:
            raise broken
        until = min(end, start + self._at_a_time)
        records = [self.record(offset) for offset in range(start, until)]
        return DeferredPage([record for record in records if wanted(record)], until)

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        await asyncio.sleep(0)
        self.settled += [letter.offset for letter in letters]


class FakeCommands:
    """Applies commands to the tenants at once."""

    def __init__(self, tenants: FakeTenants) -> None:
        self.submitted: list[Command] = []
        self.on_change: Callable[[str, int], None] = lambda *_: None
        self.going_on = _set(asyncio.Event())
        self.refused: tuple[type[Command], ...] = ()
        self.refusals = 0
        self._tenants = tenants

    async def submit(self, command: Command) -> None:
        self.submitted.append(command)
        await self.going_on.wait()
        if isinstance(command, self.refused):
            self.refusals += 1
            raise RecordRefusedError("tenant-commands does not take the record.")
        after = apply(self._tenants.get(command.customer_id), command)
        assert after is not None
        self._tenants.held[command.customer_id] = after
        self.on_change(command.customer_id, 0)


@dataclass
class FakeNotices:
    published: list[Notice] = field(default_factory=list)

    async def publish(self, notice: Notice) -> None:
        await asyncio.sleep(0)
        self.published.append(notice)

    async def publish_once(self, notice: Notice) -> None:
        await self.publish(notice)


class FakeEvents:
    """A log in a list; an id that was chosen stands for its first event."""

    def __init__(self, partitions: int = 3) -> None:
        self.published: list[NewEvent] = []
        self.notices: list[Notice] = []
        self.failing: HooksealError | None = None
        self.not_ready: HooksealError | None = None
        self.before_publishing: Callable[[], Awaitable[None]] | None = None
        self._partitions = partitions
        self._first: dict[tuple[str, str | None], tuple[NewEvent, tuple[Position, ...]]] = {}

    def why_not_ready(self) -> HooksealError | None:
        return self.not_ready

    async def publish_many(self, drafts: Sequence[NewEvent]) -> list[tuple[Position, ...]]:
        if self.before_publishing is not None:
            await self.before_publishing()
        if self.failing is not None:
            raise self.failing
        for index, draft in enumerate(drafts):
            known = self._first.get((draft.customer_id, draft.event_id))
            if draft.has_chosen_id and known is not None and known[0].value != draft.value:
                raise EventIdReusedError(index)
        return [self._publish(draft) for draft in drafts]

    async def publish_once(self, notice: Notice) -> None:
        self.notices.append(notice)

    def _publish(self, draft: NewEvent) -> tuple[Position, ...]:
        name = (draft.customer_id, draft.event_id)
        if name not in self._first:
            self.published.append(draft)
            homes = range(self._partitions) if draft.is_broadcast else (1,)
            places = tuple(Position(home, len(self.published) - 1) for home in homes)
            self._first[name] = (draft, places)
        return self._first[name][1]


class FakeLetters:
    """Dead letters in a list, and their replays."""

    def __init__(self) -> None:
        self.held: list[Letter] = []
        self.replayed: list[Letter] = []
        self.limits: list[int | None] = []
        self.error: HooksealError | None = None
        self.refusals: list[HooksealError] = []
        self.records: dict[tuple[int, int], Record] = {}
        self.history: list[AttemptRecord] = []
        self.events = 0
        self.events_asked: list[tuple[int, int]] = []
        self.events_wanted: EventsWanted | None = None

    async def catch_up(self, *, timeout_s: float | None = None) -> None:
        if self.error is not None:
            raise self.error

    async def page(
        self,
        wanted: LetterFilter,
        *,
        order: Order = "newest",
        limit: int,
        cursor: LogCursor | None = None,
    ) -> LettersListed:
        newest = order == "newest"
        found = sorted(self._matching(wanted), key=lambda one: one.cursor, reverse=newest)
        if cursor is not None:
            found = [
                one for one in found if (one.cursor < cursor if newest else one.cursor > cursor)
            ]
        page = found[:limit]
        return LettersListed(page, page[-1].cursor if len(found) > limit else None)

    async def cursor_at(self, partition: int, offset: int) -> LogCursor:
        for one in self.held:
            if (one.partition, one.offset) == (partition, offset):
                return one.cursor
        raise InvalidInputError("unknown_dead_letter", "None.", field=f"{partition}/{offset}")

    async def customers_of(self, event_id: str) -> list[str]:
        found = {one.customer_id for one in self.held if one.event_id == event_id}
        return sorted(one for one in found if one is not None)

    async def reasons(self, wanted: LetterFilter) -> dict[str, int]:
        return dict(Counter(one.reason or "" for one in self._matching(wanted)))

    async def stats(self, wanted: LetterFilter) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, ...], list[Letter]] = {}
        for one in self._matching(wanted):
            groups.setdefault((one.customer_id, one.endpoint_id, one.reason), []).append(one)
        rows = [
            {
                "customer_id": customer_id,
                "endpoint_id": endpoint_id,
                "reason": reason,
                "category": found[0].document()["category"],
                "count": len(found),
                "replayed": len([one for one in found if one in self.replayed]),
                "first_failed_at": found[0].document()["failed_at"],
                "last_failed_at": found[-1].document()["failed_at"],
            }
            for (customer_id, endpoint_id, reason), found in groups.items()
        ]
        return sorted(rows, key=lambda row: -row["count"])

    async def get(self, partition: int, offset: int) -> Record | None:
        return self.records.get((partition, offset))

    async def attempts(self, letter: Record) -> list[AttemptRecord]:
        return self.history

    async def plan(self, wanted: LetterFilter) -> ReplayPlan:
        matching = self._matching(wanted)
        todo = self._todo(wanted)
        return ReplayPlan(len(todo), len(matching) - len(todo), 0)

    async def replay(
        self, wanted: LetterFilter, *, limit: int | None = None, wait_s: float | None = None
    ) -> int:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None and refusal.code == "replay_busy":
            raise refusal
        todo = self._todo(wanted)[:limit]
        self.replayed += todo
        self.limits.append(limit)
        if refusal is not None:
            # All others are published.
            raise refusal
        return len(todo)

    async def replay_events(
        self, wanted: EventsWanted, *, start: int = 0, limit: int, wait_s: float | None = None
    ) -> tuple[int, int | None]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.events_wanted = wanted
        self.events_asked.append((start, limit))
        end = min(self.events, start + limit)
        return end - start, end if end < self.events else None

    def _todo(self, wanted: LetterFilter) -> list[Letter]:
        return [one for one in self._matching(wanted) if one not in self.replayed]

    def _matching(self, wanted: LetterFilter) -> list[Letter]:
        return [
            one
            for one in self.held
            if wanted.customer_id in (None, one.customer_id)
            and wanted.endpoint_id in (None, one.endpoint_id)
            and wanted.event_id in (None, one.event_id)
            and wanted.event_type in (None, one.event_type)
            and wanted.status in (None, one.status)
            and (wanted.reasons is None or one.reason in wanted.reasons)
            and (wanted.since_ms is None or one.at_ms >= wanted.since_ms)
            and (wanted.until_ms is None or one.at_ms < wanted.until_ms)
            and wanted.replayed in (None, one.replayed_at_ms is not None or one in self.replayed)
            and (wanted.places is None or (one.partition, one.offset) in wanted.places)
        ]


class FakeAttempts:
    """Attempts in a list, newest last."""

    def __init__(self) -> None:
        self.held: list[Attempted] = []
        self.error: HooksealError | None = None

    async def catch_up(self, *, timeout_s: float | None = None) -> None:
        if self.error is not None:
            raise self.error

    async def page(
        self,
        wanted: AttemptFilter,
        *,
        limit: int,
        cursor: LogCursor | None = None,
    ) -> AttemptsListed:
        found = [
            one
            for one in reversed(self.held)
            if wanted.customer_id in (None, one.customer_id)
            and wanted.event_id in (None, one.event_id)
            and wanted.endpoint_id in (None, one.endpoint_id)
            and wanted.event_type in (None, one.event_type)
            and wanted.code in (None, one.code)
            and wanted.status in (None, one.status)
            and (wanted.since_ms is None or one.at_ms >= wanted.since_ms)
            and (wanted.until_ms is None or one.at_ms < wanted.until_ms)
            and (cursor is None or one.cursor < cursor)
        ]
        page = found[:limit]
        return AttemptsListed(page, page[-1].cursor if len(found) > limit else None)

    async def customers_of(self, event_id: str) -> list[str]:
        return sorted({one.customer_id for one in self.held if one.event_id == event_id})

    async def latest(self, since_ms: int, each: int) -> list[Attempted]:
        found = [one for one in self.held if one.at_ms >= since_ms]
        return sorted(found, key=lambda one: (one.partition, one.offset))


class FakeEventSearch:
    """Has the events that a test sets."""

    def __init__(self) -> None:
        self.held: list[Event] = []
        self.is_complete = True
        self.since_ms = 0

    async def find(self, event_id: str, customer_id: str | None, *, since_ms: int) -> Search:
        self.since_ms = since_ms
        for event in self.held:
            if event.id == event_id and customer_id in (None, event.customer_id):
                return Search(FoundEvent(event.record, event), (0,), len(self.held))
        return Search(None, (0,), len(self.held), self.is_complete)


class FakeProgress:
    """The workers and offsets that a test sets."""

    def __init__(self) -> None:
        self.found = Progress("hookseal", "Empty", [], [])
        self.error: HooksealError | None = None

    async def progress(self) -> Progress:
        if self.error is not None:
            raise self.error
        return self.found


class FakeModel:
    """The API's read model in a dictionary; says when it is not ready."""

    def __init__(self, *tenants: Tenant) -> None:
        self.held = {tenant.customer_id: tenant for tenant in tenants}
        self.not_ready: HooksealError | None = None
        self.settles = 0
        self.before_settling: Callable[[], None] = lambda: None
        self.settles_in_time = True

    def why_not_ready(self) -> HooksealError | None:
        return self.not_ready

    def get(self, customer_id: str) -> Tenant | None:
        return self.held.get(customer_id)

    def put(self, customer_id: str, tenant: Tenant | None) -> None:
        self.held.pop(customer_id, None)
        if tenant is not None:
            self.held[customer_id] = tenant

    def customer_of(self, key_id: str) -> str | None:
        return next(
            (t.customer_id for t in self.held.values() if t.api_key(key_id) is not None), None
        )

    def page(self, after: str | None, limit: int) -> list[Tenant]:
        return [self.held[key] for key in sorted(self.held) if after is None or key > after][:limit]

    def stopped(self) -> list[Tenant]:
        return [
            tenant
            for tenant in self.page(None, len(self.held))
            if any(one.state in ("suspended", "paused") for one in tenant.endpoints)
        ]

    async def settle(self, timeout_s: float) -> bool:
        self.settles += 1
        self.before_settling()
        return self.settles_in_time


class FakeChanges:
    """Applies commands to the model at once, as a worker would."""

    def __init__(self, model: FakeModel) -> None:
        self.submitted: list[Command] = []
        self.failing: HooksealError | None = None
        # Raised once, by a change that is made all the same.
        self.forgets: HooksealError | None = None
        self._model = model

    async def submit(self, command: Command) -> Tenant | None:
        await asyncio.sleep(0)
        if self.failing is not None:
            raise self.failing
        self.submitted.append(command)
        after = apply(self._model.get(command.customer_id), command)
        self._model.put(command.customer_id, after)
        if (forgets := self.forgets) is not None:
            self.forgets = None
            raise forgets
        if after is None:
            return None
        result = after.recent_of(command.id)
        assert result is not None
        if result.fingerprint != command.fingerprint:
            raise conflict("idempotency_key_reused")
        if result.code != "ok":
            raise conflict(result.code)
        return after


class FakeRouter:
    """Everything belongs to one partition, unless said otherwise."""

    def __init__(self, home: int = 0) -> None:
        self.home: dict[str, int] = defaultdict(lambda: home)
        self.rerouted: list[tuple[Event, int]] = []
        self.refuses = False

    def partition_of(self, customer_id: str) -> int:
        return self.home[customer_id]

    async def reroute(self, event: Event, partition: int) -> None:
        if self.refuses:
            raise RecordRefusedError("events does not take the record: MessageSizeTooLargeError.")
        self.rerouted.append((event, partition))


class FakeKafka:
    """Makes clients in the place of `AIOKafkaProducer`, all for one broker.

    Attributes:
        unsent: What the next clients raise before a record is sent.
        refusals: What the broker answers to the next batches; None = an acknowledgement.
        max_bytes: Records over this size are refused by the broker.
        batches: The records that were sent, acknowledged or not.
        written: The records that were acknowledged.
        started: Clients that were started.
        stopped: Clients that were stopped.
    """

    def __init__(self) -> None:
        self.unsent: deque[Exception] = deque()
        self.refusals: deque[Exception | None] = deque()
        self.max_bytes = 1 << 40
        self.batches: list[list[dict[str, Any]]] = []
        self.written: list[dict[str, Any]] = []
        self.started = 0
        self.stopped = 0

    def __call__(self, **options: Any) -> FakeKafkaClient:
        return FakeKafkaClient(self)

    def answer(self, records: list[dict[str, Any]]) -> asyncio.Future[RecordMetadata]:
        """Return the broker's answer to a batch."""
        self.batches.append(records)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        error = self.refusals.popleft() if self.refusals else None
        sizes = [record_bytes(one["key"], one["value"], tuple(one["headers"])) for one in records]
        if error is None and max(sizes) > self.max_bytes:
            error = MessageSizeTooLargeError()
        if error is None:
            offset = len(self.written)
            self.written += records
            future.set_result(RecordMetadata("t", 0, TopicPartition("t", 0), offset, 0, 0, 0))
        else:
            future.set_exception(error)
        return future


class FakeKafkaClient:
    """The part of `AIOKafkaProducer` that is used to write."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def start(self) -> None:
        self._kafka.started += 1

    async def stop(self) -> None:
        self._kafka.stopped += 1

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    async def send(self, topic: str, **record: Any) -> asyncio.Future[RecordMetadata]:
        if self._kafka.unsent:
            raise self._kafka.unsent.popleft()
        return self._kafka.answer([record])

    def create_batch(self) -> FakeBatch:
        return FakeBatch(self._kafka)

    async def send_batch(
        self, batch: Any, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        if isinstance(batch, FakeBatch):
            return self._kafka.answer(batch.records)
        encoded = bytes(batch._build())
        try:
            records = [
                {"key": one.key, "value": one.value, "headers": one.headers}
                for one in MemoryRecords(encoded).next_batch()
            ]
        except UnicodeDecodeError:
            # One record with a name of a header that aiokafka cannot read.
            records = [{"key": None, "value": encoded, "headers": ()}]
        return self._kafka.answer(records)


class FakeBatch:
    """A `BatchBuilder` that keeps what it is given."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.records: list[dict[str, Any]] = []
        self._kafka = kafka

    def append(self, **record: Any) -> object:
        if self._kafka.unsent and record["value"] == b"bad":
            raise self._kafka.unsent.popleft()
        self.records.append(record)
        return record


class UndividedHandler:
    """The part of an `EventHandler` that divides records and defers them; does neither."""

    def split(self, _: object, ordering: Ordering) -> None:
        assert ordering in ("partition", "customer")

    async def defer(self, *_: object) -> int:
        return 0


class RecordingObserver(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.ended: list[tuple[str, str, Outcome]] = []
        self.first_outcome = asyncio.Event()
        self.in_backoff: set[int] = set()
        self.skips: list[str] = []
        self.buried_ids: list[str] = []
        self.crashes: list[Exception] = []
        self.shortages: list[str] = []
        self.commands: list[tuple[str, str]] = []
        self.invalid: list[str] = []
        self.moved: list[str] = []
        self.bury_failures: list[int] = []
        self.held = asyncio.Event()
        self.suspended_because: dict[str, Why] = {}
        self.suspended_count = 0
        self.retries: list[tuple[str, int, float]] = []
        self.probes: list[tuple[str, float]] = []
        self.drains: list[tuple[str, str, Outcome]] = []
        self.recoveries: list[str] = []
        self.accepted: list[str] = []

    def sealed(self, seconds: float) -> None:
        assert 0 <= seconds < 60

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def delivered(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        self.outcomes.append((endpoint_id, outcome))
        self.first_outcome.set()
        self.ended.append((event.id, endpoint_id, outcome))
        self._accept(event, outcome)

    def retry_scheduled(
        self, event: Event, customer_id: str, endpoint_id: str, attempt: int, delay_s: float
    ) -> None:
        self.retries.append((endpoint_id, attempt, delay_s))

    def waiting(self, partition: int) -> None:
        self.in_backoff.add(partition)

    def resumed(self, partition: int) -> None:
        self.in_backoff.discard(partition)

    def in_progress(self, partition: int, *, attempts: int, queues: int, oldest_s: float) -> None:
        pass

    def resource_exhausted(self, resource: str) -> None:
        self.shortages.append(resource)

    def skipped(self, event: Event) -> None:
        self.skips.append(event.id)

    def misrouted(self, customer_id: str) -> None:
        self.moved.append(customer_id)

    def gap(self, partition: int, expected: int, offset: int) -> None:
        pass

    def buried(self, letter: DeadLetter) -> None:
        self.buried_ids.append(letter.event_id)

    def suspended(self, customer_id: str, endpoint_id: str, why: Why) -> None:
        self.suspended_because[endpoint_id] = why

    def probed(self, customer_id: str, endpoint_id: str, code: str, next_in_s: float) -> None:
        self.probes.append((code, next_in_s))

    def drained(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        self.drains.append((event.id, endpoint_id, outcome))
        self._accept(event, outcome)

    def _accept(self, event: Event, outcome: Outcome) -> None:
        if outcome.accepted:
            self.accepted.append(event.id)

    def recovered(self, customer_id: str, endpoint_id: str) -> None:
        self.recoveries.append(endpoint_id)

    def suspensions(self, partition: int, count: int) -> None:
        self.suspended_count = count

    def bury_failed(self, times: int) -> None:
        self.bury_failures.append(times)
        if times > 1:
            self.held.set()

    def bury_ended(self) -> None:
        self.bury_failures.append(0)

    def crashed(self, event_id: str, error: Exception) -> None:
        self.crashes.append(error)

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        self.commands.append((command_type, code))

    def command_invalid(self, record: Record, code: str) -> None:
        self.invalid.append(code)
