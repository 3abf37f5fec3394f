"""The state of the deployment: workers, partitions, suspended endpoints, dead letters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from hookseal.api.deliveries import CustomerDeliveryOut
from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.problems import problem_of
from hookseal.api.schemas import Output
from hookseal.domain.dead_letter import CATEGORIES, SUSPENDED, category_of
from hookseal.domain.letter_filter import LetterFilter
from hookseal.domain.progress import PartitionStateName, Progress, state_of
from hookseal.domain.utc_time import rfc3339
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages, LetterPages, ProgressSource
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.letter import Attempted
    from hookseal.domain.progress import PartitionProgress

_INDEX_WITHIN_S = 2.0
_HOUR_S = 3600
# Of more endpoints, only the number is shown.
_ENDPOINTS_MAX = 500
_TENANTS_AT_A_TIME = 500
_ATTEMPTS_MAX = 200


class WorkerOut(Output, frozen=True):
    """A worker of the consumer group.

    Kafka removes a worker that crashed after its session timeout; until then it is listed.

    Attributes:
        id: The member id in the group; without Kafka `host:pid`.
        host: Its IP address, as the broker sees it; without Kafka its host name.
        partitions: Partitions of `events` that it is assigned.
    """

    id: str
    client_id: str
    host: str
    partitions: list[int]


class GroupOut(Output, frozen=True):
    """The consumer group of the workers, with its state as Kafka names it.

    Attributes:
        state: `Stable`, `Empty` (no worker), `PreparingRebalance`, `CompletingRebalance`, `Dead`.
    """

    id: str
    state: str


class OldestEventOut(Output, frozen=True):
    """The oldest event of a partition that is not done.

    Attributes:
        at: Timestamp of its record, RFC 3339.
        customer_id: null for a broadcast.
    """

    event_id: str
    customer_id: str | None
    offset: int
    at: str


class PartitionStatusOut(Output, frozen=True):
    """A partition of `events`.

    Attributes:
        worker: The `id` of its worker; null without one.
        committed_offset: All offsets below it are done; null before the first commit, and
            without Kafka.
        end_offset: The last stable offset; null without Kafka.
        lag: Events up to the end that are not accepted, dead-lettered or deferred. Events above
            the committed offset that are done do not count.
        oldest: The oldest event that is not done; null if none waits, or if it cannot be read.
        state: `idle` (nothing waits), `delivering`, `backoff` (the oldest event waits for its next
            attempt), `not_attempted` (the worker has made no attempt at the oldest event for 30 s:
            it starts, or the receiver or the worker is slow), `open_transaction` (a producer has
            not ended its transaction), `rebalancing`, or `no_worker`.
        since: RFC 3339: since when the oldest event, or the transaction, waits.
        held_by: With `backoff`: the latest attempt at the oldest event.
    """

    partition: int
    worker: str | None
    committed_offset: int | None
    end_offset: int | None
    lag: int
    oldest: OldestEventOut | None
    state: PartitionStateName
    since: str | None
    held_by: CustomerDeliveryOut | None


class StoppedEndpointOut(Output, frozen=True):
    """An endpoint that gets no events at the moment.

    Attributes:
        because: `exhausted` (too many deliveries in a row failed), `behind` (too many events were
            queued) or `paused`.
        since: RFC 3339.
        deferred: Its events that wait on `dead-letters`; null if the list cannot be read.
    """

    customer_id: str
    endpoint_id: str
    state: Literal["suspended", "paused"]
    because: Literal["exhausted", "behind", "paused"]
    since: str
    deferred: int | None


class DeadLetterTotals(Output, frozen=True):
    """Dead letters of the last hour, by who can fix the cause. Deferred events do not count."""

    receiver: int
    configuration: int
    event: int
    platform: int


class StatusProblem(Output, frozen=True):
    """Something that needs attention, or that could not be read.

    Attributes:
        code: `no_worker`, `partitions_unassigned`, or the code of the error.
        detail: For people: what is wrong and what to do.
    """

    code: str
    detail: str


class StatusOut(Output, frozen=True):
    """The state of the deployment.

    Attributes:
        at: When it was read, RFC 3339.
        group: null without Kafka.
        lag: Sum of the lags of all partitions.
        endpoints: Suspended and paused endpoints, at most 500, ordered by customer id.
        endpoint_count: The number of all of them; null if the tenants cannot be read.
        dead_letters: null if the list cannot be read.
        problems: Empty if all is well.
    """

    at: str
    group: GroupOut | None
    workers: list[WorkerOut]
    partitions: list[PartitionStatusOut]
    lag: int
    endpoints: list[StoppedEndpointOut]
    endpoint_count: int | None
    dead_letters: DeadLetterTotals | None
    problems: list[StatusProblem]


@dataclass(frozen=True, kw_only=True)
class StatusOperations(Resource):
    """`/v1/status`."""

    changes: TenantChanges
    progress: ProgressSource
    attempts: AttemptPages
    letters: LetterPages

    @Operation("GET", "/v1/status", "Overview", access=Access.ADMIN, returns=StatusOut)
    async def show_status(self, _: Call) -> Reply:
        """Show workers, partitions and what they wait for, suspended endpoints, dead letters.

        If a list cannot be read, its member is null and `problems` names the reason. Without Kafka
        (`hookseal local`), `group` and the offsets are null.
        """
        problems: list[StatusProblem] = []
        progress, has_attempts, has_letters = await asyncio.gather(
            self.progress.progress(),
            self._is_current(self.attempts, problems),
            self._is_current(self.letters, problems),
        )
        problems = [*_worker_problems(progress), *_unique(problems)]
        now = self.changes.clock.now()
        totals = await self._dead_letters(now) if has_letters else None
        deferred = await self._deferred() if has_letters else None
        endpoints: list[StoppedEndpointOut] = []
        count = None
        if reason := self.changes.model.why_not_ready():
            problems.append(_problem(reason))
        else:
            endpoints, count = await self._endpoints(deferred)
        partitions = [
            await self._partition(one, progress, has_attempts=has_attempts)
            for one in progress.partitions
        ]
        group = None
        if progress.group is not None:
            group = GroupOut(id=progress.group, state=progress.state or "")
        return Reply(
            StatusOut(
                at=rfc3339(now),
                group=group,
                workers=[
                    WorkerOut(
                        id=one.id,
                        client_id=one.client_id,
                        host=one.host,
                        partitions=list(one.partitions),
                    )
                    for one in progress.workers
                ],
                partitions=partitions,
                lag=sum(one.lag for one in progress.partitions),
                endpoints=endpoints,
                endpoint_count=count,
                dead_letters=totals,
                problems=problems,
            )
        )

    async def _is_current(
        self, index: AttemptPages | LetterPages, problems: list[StatusProblem]
    ) -> bool:
        try:
            await index.catch_up(timeout_s=_INDEX_WITHIN_S)
        except HooksealError as error:
            problems.append(_problem(error))
            return False
        return True

    async def _partition(
        self, found: PartitionProgress, progress: Progress, *, has_attempts: bool
    ) -> PartitionStatusOut:
        worker = progress.worker_of(found.partition)
        oldest = found.oldest
        attempts: list[Attempted] = []
        if has_attempts and oldest is not None and oldest.customer_id is not None:
            page = await self.attempts.page(
                oldest.customer_id, event_id=oldest.event_id, limit=_ATTEMPTS_MAX
            )
            attempts = page.attempts
        state = state_of(
            found,
            worker=worker,
            is_rebalancing=progress.is_rebalancing,
            attempts=attempts,
            now_ms=round(self.changes.clock.now() * 1000),
        )
        held = state.held_by
        return PartitionStatusOut(
            partition=found.partition,
            worker=None if worker is None else worker.id,
            committed_offset=found.committed,
            end_offset=found.end,
            lag=found.lag,
            oldest=None
            if oldest is None
            else OldestEventOut(
                event_id=oldest.event_id,
                customer_id=oldest.customer_id,
                offset=oldest.offset,
                at=rfc3339(oldest.at_ms / 1000),
            ),
            state=state.name,
            since=None if state.since_ms is None else rfc3339(state.since_ms / 1000),
            held_by=None
            if held is None
            else CustomerDeliveryOut(customer_id=held.customer_id, **held.document()),
        )

    async def _dead_letters(self, now: float) -> DeadLetterTotals:
        wanted = LetterFilter(since_ms=round((now - _HOUR_S) * 1000))
        counts = dict.fromkeys(CATEGORIES, 0)
        for reason, count in (await self.letters.reasons(wanted)).items():
            if reason != SUSPENDED:
                counts[category_of(reason)] += count
        return DeadLetterTotals(**counts)

    async def _deferred(self) -> dict[tuple[str, str], int]:
        wanted = LetterFilter(reasons=frozenset({SUSPENDED}), replayed=False)
        rows = await self.letters.stats(wanted)
        return {(row["customer_id"], row["endpoint_id"]): row["count"] for row in rows}

    async def _endpoints(
        self, deferred: dict[tuple[str, str], int] | None
    ) -> tuple[list[StoppedEndpointOut], int]:
        shown: list[StoppedEndpointOut] = []
        count = 0
        after = None
        while tenants := self.changes.model.page(after, _TENANTS_AT_A_TIME):
            after = tenants[-1].customer_id
            stopped = [
                _endpoint_out(tenant.customer_id, endpoint, deferred)
                for tenant in tenants
                for endpoint in tenant.endpoints
                if endpoint.state in ("suspended", "paused")
            ]
            count += len(stopped)
            shown += islice(stopped, _ENDPOINTS_MAX - len(shown))
            # Yield to other requests.
            await asyncio.sleep(0)
        return shown, count


def _endpoint_out(
    customer_id: str, endpoint: Endpoint, deferred: dict[tuple[str, str], int] | None
) -> StoppedEndpointOut:
    suspension, paused_at = endpoint.suspension, endpoint.paused_at
    since = paused_at
    if since is None:
        since = 0.0 if suspension is None else suspension.since
    is_paused = paused_at is not None or suspension is None
    return StoppedEndpointOut(
        customer_id=customer_id,
        endpoint_id=endpoint.id,
        state="paused" if is_paused else "suspended",
        because="paused" if paused_at is not None or suspension is None else suspension.why,
        since=rfc3339(since),
        deferred=None if deferred is None else deferred.get((customer_id, endpoint.id), 0),
    )


def _worker_problems(progress: Progress) -> Iterator[StatusProblem]:
    waiting = sum(one.lag for one in progress.partitions)
    if not progress.workers:
        yield StatusProblem(
            code="no_worker",
            detail=f"No worker runs, and {waiting:,} events wait. Start `hookseal worker`.",
        )
        return
    unassigned = [
        one.partition for one in progress.partitions if progress.worker_of(one.partition) is None
    ]
    if unassigned and not progress.is_rebalancing:
        listed = ", ".join(map(str, unassigned))
        yield StatusProblem(
            code="partitions_unassigned",
            detail=f"No worker is assigned these partitions of `events`: {listed}. If the group "
            "does not assign them within a minute, restart the workers.",
        )


def _problem(error: HooksealError) -> StatusProblem:
    document = problem_of(error).document
    return StatusProblem(code=document.code, detail=document.detail)


def _unique(problems: list[StatusProblem]) -> list[StatusProblem]:
    return list({one.code: one for one in problems}.values())
