"""Dead letters: list, count, show and replay; of one tenant, or of all for the operator."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET
from msgspec.structs import asdict

from hookseal.api import cursors
from hookseal.api.letter_schemas import (
    AnyDeadLetterOut,
    AnyDeadLetterPageQuery,
    AnyDeadLetters,
    AnyDeadLetterStatsQuery,
    AnyReplayRequest,
    AnyReplayResult,
    AttemptOut,
    DeadLetterCount,
    DeadLetterOut,
    DeadLetterPageQuery,
    DeadLetterRecordOut,
    DeadLetterRecordQuery,
    DeadLetters,
    DeadLetterStats,
    DeadLetterStatsQuery,
    HeaderOut,
    ReplayRequest,
    ReplayResult,
)
from hookseal.api.operations import Access, Operation, Reply
from hookseal.api.problems import Problem
from hookseal.domain.dead_letter import ADDED_PREFIX, added_headers, category_of
from hookseal.domain.letter_filter import LetterFilter, parse_moment, parse_place, reasons_of
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.letter_schemas import DeadLetterQuery
    from hookseal.api.operations import Call
    from hookseal.api.ports import LetterPages, LetterRecords, Replays
    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.letter import Letter, LettersListed
    from hookseal.domain.record import Record

_TAG = "Dead letters"
_ALL = "/v1/dead-letters"
_OF_TENANT = "/v1/tenants/{customer_id}/dead-letters"
_CAUGHT_UP_WITHIN_S = 5.0
# Another replay of as many as one request may ask for is over long before.
_WAIT_S = 10.0
_UNKNOWN: Mapping[HTTPStatus, tuple[str, ...]] = {HTTPStatus.NOT_FOUND: ("unknown_dead_letter",)}
_REPLAY_PROBLEMS: Mapping[HTTPStatus, tuple[str, ...]] = {
    HTTPStatus.CONFLICT: ("replay_busy", "replay_refused")
}

_Shown = TypeVar("_Shown", bound=DeadLetterOut)


class DeadLetterOperations:
    """`/v1/tenants/{c}/dead-letters`, and `/v1/dead-letters` for the operator."""

    def __init__(
        self,
        *,
        changes: TenantChanges,
        letters: LetterPages,
        records: LetterRecords,
        replays: Replays,
    ) -> None:
        self._changes = changes
        self._letters = letters
        self._records = records
        self._replays = replays
        self._running: set[asyncio.Task[int]] = set()

    def operations(self) -> Sequence[Operation]:
        """Return the operations of dead letters."""
        return (*self._of_tenant(), *self._of_all())

    def _of_tenant(self) -> Sequence[Operation]:
        return (
            Operation(
                "GET",
                _OF_TENANT,
                "listDeadLetters",
                "List what was given up, filtered.",
                _TAG,
                self._list,
                scope="deliveries:read",
                queries=DeadLetterPageQuery,
                returns=DeadLetters,
            ),
            Operation(
                "GET",
                f"{_OF_TENANT}/stats",
                "countDeadLetters",
                "Count a tenant's dead letters by endpoint and reason.",
                _TAG,
                self._stats,
                scope="deliveries:read",
                queries=DeadLetterStatsQuery,
                returns=DeadLetterStats,
            ),
            Operation(
                "POST",
                f"{_OF_TENANT}/replay",
                "replayDeadLetters",
                "Publish the events of dead letters again, each once.",
                _TAG,
                self._replay,
                scope="replay",
                status=HTTPStatus.ACCEPTED,
                takes=ReplayRequest,
                returns=ReplayResult,
                problems=_REPLAY_PROBLEMS,
                description=(
                    "Each event keeps its id and goes to the endpoint that gave up, sealed to "
                    "the key and sent to the URL that the tenant has by then. A letter is "
                    "replayed once for good, however often this is asked for; if its delivery "
                    "fails again, that is a new letter."
                ),
            ),
        )

    def _of_all(self) -> Sequence[Operation]:
        return (
            Operation(
                "GET",
                _ALL,
                "listAllDeadLetters",
                "List the dead letters of all tenants, filtered.",
                _TAG,
                self._list_all,
                access=Access.ADMIN,
                queries=AnyDeadLetterPageQuery,
                returns=AnyDeadLetters,
                description=(
                    "Includes dead letters without a tenant: of customers that were never "
                    "created, and of records without a key."
                ),
            ),
            Operation(
                "GET",
                f"{_ALL}/stats",
                "countAllDeadLetters",
                "Count dead letters by customer, endpoint and reason.",
                _TAG,
                self._stats_of_all,
                access=Access.ADMIN,
                queries=AnyDeadLetterStatsQuery,
                returns=DeadLetterStats,
            ),
            Operation(
                "GET",
                f"{_ALL}/{{partition}}/{{offset}}",
                "getDeadLetter",
                "Show one dead letter with its headers and the attempts before it.",
                _TAG,
                self._show,
                access=Access.ADMIN,
                queries=DeadLetterRecordQuery,
                returns=DeadLetterRecordOut,
                problems=_UNKNOWN,
                description=(
                    "The event, and the headers that its producer set, are masked: only their "
                    "sizes are returned, unless `reveal=true` is given."
                ),
            ),
            Operation(
                "POST",
                f"{_ALL}/replay",
                "replayAllDeadLetters",
                "Replay the dead letters of all tenants, each once.",
                _TAG,
                self._replay_all,
                access=Access.ADMIN,
                status=HTTPStatus.ACCEPTED,
                takes=AnyReplayRequest,
                returns=AnyReplayResult,
                problems={**_REPLAY_PROBLEMS, **_UNKNOWN},
                description="As `replayDeadLetters`, over all tenants or one `customer_id`.",
            ),
        )

    async def _list(self, call: Call) -> Reply:
        asked = call.query_as(DeadLetterPageQuery)
        await self._changes.tenant(call.customer_id)
        found = await self._page(_filter_of(call.customer_id, asked), asked)
        if asked.endpoint_id is not None and not found.letters:
            # One that was removed still has its history.
            await self._changes.endpoint(call.customer_id, asked.endpoint_id, field="endpoint_id")
        return Reply(
            DeadLetters(
                items=[_shown(letter, DeadLetterOut) for letter in found.letters],
                next_cursor=cursors.write_place(found.next_cursor),
            )
        )

    async def _list_all(self, call: Call) -> Reply:
        asked = call.query_as(AnyDeadLetterPageQuery)
        found = await self._page(_filter_of(asked.customer_id, asked), asked, behind=asked.after)
        return Reply(
            AnyDeadLetters(
                items=[_shown(letter, AnyDeadLetterOut) for letter in found.letters],
                next_cursor=cursors.write_place(found.next_cursor),
            )
        )

    async def _page(
        self, wanted: LetterFilter, asked: DeadLetterPageQuery, *, behind: str | None = None
    ) -> LettersListed:
        cursor = cursors.read_place(asked.cursor)
        place = None if behind is None else parse_place(behind, field="after")
        await self._letters.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        if cursor is None and place is not None:
            cursor = await self._letters.cursor_at(*place)
        return await self._letters.page(
            replace(wanted, replayed=asked.replayed),
            order=asked.order,
            limit=asked.limit,
            cursor=cursor,
        )

    async def _stats(self, call: Call) -> Reply:
        asked = call.query_as(DeadLetterStatsQuery)
        await self._changes.tenant(call.customer_id)
        return await self._counted(call.customer_id, asked)

    async def _stats_of_all(self, call: Call) -> Reply:
        asked = call.query_as(AnyDeadLetterStatsQuery)
        return await self._counted(asked.customer_id, asked)

    async def _counted(self, customer_id: str | None, asked: DeadLetterStatsQuery) -> Reply:
        wanted = LetterFilter(
            customer_id=customer_id,
            since_ms=_moment(asked.since, "since"),
            until_ms=_moment(asked.until, "until"),
        )
        await self._letters.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        rows = await self._letters.stats(wanted)
        return Reply(DeadLetterStats(items=[DeadLetterCount(**row) for row in rows]))

    async def _show(self, call: Call) -> Reply:
        reveal = call.query_as(DeadLetterRecordQuery).reveal
        name = f"{call.part('partition')}/{call.part('offset')}"
        letter = await self._records.get(*parse_place(name, field="id"))
        if letter is None:
            raise _unknown(name, f"There is no dead letter {name}.")
        attempts = await self._records.attempts(letter)
        return Reply(_shown_record(letter, attempts, reveal=reveal))

    async def _replay(self, call: Call) -> Reply:
        asked = call.body_as(ReplayRequest)
        wanted = _places_of(_filter_of(call.customer_id, asked), asked)
        await self._changes.tenant(call.customer_id)
        return Reply(await self._replayed(wanted, asked))

    async def _replay_all(self, call: Call) -> Reply:
        asked = call.body_as(AnyReplayRequest)
        wanted = _places_of(_filter_of(asked.customer_id, asked), asked)
        done = await self._replayed(wanted, asked)
        # Only now does the ledger tell what a replay that was cut off had done.
        after = await self._replays.plan(wanted)
        before = after.replayed - (0 if asked.dry_run else done.replayed)
        return Reply(AnyReplayResult(**asdict(done), replayed_before=max(0, before)))

    async def _replayed(self, wanted: LetterFilter, asked: ReplayRequest) -> ReplayResult:
        await self._letters.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        await self._check_ids(wanted)
        plan = await self._replays.plan(wanted)
        todo = min(asked.limit, plan.to_replay)
        if not asked.dry_run and todo:
            todo = await self._done(wanted, asked.limit)
        return ReplayResult(
            replayed=todo,
            remaining=max(0, plan.to_replay - todo),
            not_replayable=plan.not_replayable,
        )

    async def _done(self, wanted: LetterFilter, limit: int) -> int:
        # To its end, also if whoever asked hangs up: cut off, it would keep the partition
        # from others until its lease is over.
        task = asyncio.create_task(self._replays.replay(wanted, limit=limit, wait_s=_WAIT_S))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _check_ids(self, wanted: LetterFilter) -> None:
        if not wanted.places:
            return
        mine = LetterFilter(customer_id=wanted.customer_id, places=wanted.places)
        found = await self._letters.page(mine, limit=len(wanted.places))
        known = {(letter.partition, letter.offset) for letter in found.letters}
        if known != set(wanted.places):
            # Foreign or made up: the same to whoever asks.
            raise _unknown("ids", "There is no dead letter of one of these ids; list them.")


def _unknown(field: str, detail: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "unknown_dead_letter", detail, field=field)


def _filter_of(customer_id: str | None, asked: DeadLetterQuery) -> LetterFilter:
    return LetterFilter(
        customer_id=customer_id,
        endpoint_id=asked.endpoint_id,
        reasons=reasons_of(asked.reason, asked.category, set_aside=asked.set_aside),
        event_type=asked.event_type,
        status=asked.status,
        since_ms=_moment(asked.since, "since"),
        until_ms=_moment(asked.until, "until"),
    )


def _moment(text: str | None, field: str) -> int | None:
    return None if text is None else parse_moment(text, field=field)


def _places_of(wanted: LetterFilter, asked: ReplayRequest) -> LetterFilter:
    if asked.ids is UNSET:
        return wanted
    places = tuple(dict.fromkeys(parse_place(one, field="ids") for one in asked.ids))
    return replace(wanted, places=places)


def _shown(letter: Letter, kind: type[_Shown]) -> _Shown:
    document = letter.document()
    return kind(**{name: document[name] for name in kind.__struct_fields__})


def _shown_record(
    letter: Record, attempts: Sequence[AttemptRecord], *, reveal: bool
) -> DeadLetterRecordOut:
    added: dict[str, Any] = added_headers(letter.headers)
    return DeadLetterRecordOut(
        id=f"{letter.partition}/{letter.offset}",
        partition=letter.partition,
        offset=letter.offset,
        customer_id=None if letter.key is None else _text(letter.key),
        reason=added.get("reason"),
        category=category_of(added.get("reason", "")),
        error=added.get("error"),
        endpoint_id=added.get("endpoint-id"),
        event_id=added.get("event-id"),
        attempts=added.get("attempts"),
        status=added.get("status"),
        failed_at=added.get("failed-at"),
        headers=[
            HeaderOut(
                name=name,
                value=_text(value) if reveal or name.startswith(ADDED_PREFIX) else None,
                size=len(value or b""),
            )
            for name, value in letter.headers
        ],
        history=[AttemptOut(**{**asdict(one), "at": rfc3339(one.at)}) for one in attempts],
        event=_text(letter.value) if reveal else None,
        size=len(letter.value or b""),
    )


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
