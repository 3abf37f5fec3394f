"""The state of the deployment: workers, partitions, suspended endpoints, dead letters."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal.api.deliveries import customer_delivery_out
from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.problems import problem_of
from hookseal.api.status_schemas import (
    DeadLetterTotals,
    GroupOut,
    OldestEventOut,
    PartitionStatusOut,
    StatusOut,
    StatusProblem,
    StoppedEndpointOut,
    WorkerOut,
)
from hookseal.domain.dead_letter import CATEGORIES, SUSPENDED, category_of
from hookseal.domain.letter_filter import AttemptFilter, LetterFilter
from hookseal.domain.progress import Progress, state_of
from hookseal.domain.utc_time import rfc3339
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages, LetterPages, ProgressSource
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.letter import Attempted
    from hookseal.domain.progress import OldestEvent, PartitionProgress, PartitionState

_INDEX_WITHIN_S = 2.0
_HOUR_S = 3600
# Of more endpoints, only the number is shown.
_ENDPOINTS_MAX = 500
_ATTEMPTS_MAX = 200
# Of more groups, the smallest are not counted.
_GROUPS_MAX = 1000


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
            endpoints, count = self._endpoints(deferred)
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
        state = await partition_state(
            found,
            progress,
            self.attempts if has_attempts else None,
            self.changes.clock.now(),
        )
        worker = progress.worker_of(found.partition)
        held = state.held_by
        return PartitionStatusOut(
            partition=found.partition,
            worker=None if worker is None else worker.id,
            committed_offset=found.committed,
            end_offset=found.end,
            lag=found.lag,
            oldest=oldest_event_out(found.oldest),
            state=state.name,
            since=None if state.since_ms is None else rfc3339(state.since_ms / 1000),
            held_by=None if held is None else customer_delivery_out(held),
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

    def _endpoints(
        self, deferred: dict[tuple[str, str], int] | None
    ) -> tuple[list[StoppedEndpointOut], int]:
        """Return the first suspended and paused endpoints, and the number of all."""
        found = [
            (tenant.customer_id, endpoint)
            for tenant in self.changes.model.stopped()
            for endpoint in tenant.endpoints
            if endpoint.state in ("suspended", "paused")
        ]
        shown = [_endpoint_out(*one, deferred) for one in found[:_ENDPOINTS_MAX]]
        return shown, len(found)


async def partition_state(
    found: PartitionProgress, progress: Progress, attempts: AttemptPages | None, now: float
) -> PartitionState:
    """Return the state of a partition, from the attempts at its oldest event."""
    oldest = found.oldest
    made: Sequence[Attempted] = ()
    if attempts is not None and oldest is not None and oldest.customer_id is not None:
        wanted = AttemptFilter(oldest.customer_id, event_id=oldest.event_id)
        made = (await attempts.page(wanted, limit=_ATTEMPTS_MAX)).attempts
    return state_of(
        found,
        worker=progress.worker_of(found.partition),
        is_rebalancing=progress.is_rebalancing,
        attempts=made,
        now_ms=round(now * 1000),
    )


def oldest_event_out(oldest: OldestEvent | None) -> OldestEventOut | None:
    """Return the oldest event, if there is one."""
    if oldest is None:
        return None
    return OldestEventOut(
        event_id=oldest.event_id,
        customer_id=oldest.customer_id,
        offset=oldest.offset,
        at=rfc3339(oldest.at_ms / 1000),
    )


def _endpoint_out(
    customer_id: str, endpoint: Endpoint, deferred: dict[tuple[str, str], int] | None
) -> StoppedEndpointOut:
    suspension, paused_at = endpoint.suspension, endpoint.paused_at
    uncounted = 0 if len(deferred or ()) < _GROUPS_MAX else None
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
        deferred=None if deferred is None else deferred.get((customer_id, endpoint.id), uncounted),
    )


def _worker_problems(progress: Progress) -> Iterator[StatusProblem]:
    waiting = sum(one.lag for one in progress.partitions)
    if not progress.workers:
        yield StatusProblem(
            code="no_worker",
            detail=f"No worker runs. Waiting events: {waiting:,}. Start `hookseal worker`.",
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
