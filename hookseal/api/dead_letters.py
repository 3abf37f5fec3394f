"""Dead letters: what was given up, why, and doing it again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec import UNSET

from hookseal.api import cursors
from hookseal.api.letter_schemas import (
    DeadLetterOut,
    DeadLetterPageQuery,
    DeadLetters,
    ReplayRequest,
    ReplayResult,
)
from hookseal.api.operations import Operation, Reply
from hookseal.api.problems import Problem
from hookseal.domain.letter_filter import LetterFilter, parse_moment, parse_place, reasons_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.letter_schemas import DeadLetterQuery
    from hookseal.api.operations import Call
    from hookseal.api.ports import LetterPages, Replays
    from hookseal.domain.letter import Letter

__all__ = ["DeadLetterOperations"]

_TAG = "Dead letters"
_ALL = "/v1/tenants/{customer_id}/dead-letters"
_CAUGHT_UP_WITHIN_S = 5.0
# Another replay of as many as one request may ask for is over long before.
_WAIT_S = 10.0


class DeadLetterOperations:
    """`/v1/tenants/{c}/dead-letters`."""

    def __init__(self, *, changes: TenantChanges, letters: LetterPages, replays: Replays) -> None:
        self._changes = changes
        self._letters = letters
        self._replays = replays
        self._running: set[asyncio.Task[int]] = set()

    def operations(self) -> Sequence[Operation]:
        """Return what can be done here."""
        return (
            Operation(
                "GET",
                _ALL,
                "listDeadLetters",
                "List what was given up, filtered.",
                _TAG,
                self._list,
                scope="deliveries:read",
                queries=DeadLetterPageQuery,
                returns=DeadLetters,
            ),
            Operation(
                "POST",
                f"{_ALL}/replay",
                "replayDeadLetters",
                "Publish the events of dead letters again, each once.",
                _TAG,
                self._replay,
                scope="replay",
                status=HTTPStatus.ACCEPTED,
                takes=ReplayRequest,
                returns=ReplayResult,
                problems={HTTPStatus.CONFLICT: ("replay_busy", "replay_refused")},
                description=(
                    "Each event keeps its id and goes to the endpoint that gave up, sealed to "
                    "the key and sent to the URL that the tenant has by then. A letter is "
                    "replayed once for good, however often this is asked for; if its delivery "
                    "fails again, that is a new letter."
                ),
            ),
        )

    async def _list(self, call: Call) -> Reply:
        asked = call.query_as(DeadLetterPageQuery)
        wanted = replace(_filter_of(call.customer_id, asked), replayed=asked.replayed)
        cursor = cursors.read_place(asked.cursor)
        await self._changes.tenant(call.customer_id)
        await self._letters.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        found = await self._letters.page(
            wanted, order=asked.order, limit=asked.limit, cursor=cursor
        )
        if asked.endpoint_id is not None and not found.letters:
            # One that was removed still has its history.
            await self._changes.endpoint(call.customer_id, asked.endpoint_id, field="endpoint_id")
        return Reply(
            DeadLetters(
                items=[_shown(letter) for letter in found.letters],
                next_cursor=cursors.write_place(found.next_cursor),
            )
        )

    async def _replay(self, call: Call) -> Reply:
        asked = call.body_as(ReplayRequest)
        wanted = _filter_of(call.customer_id, asked)
        if asked.ids is not UNSET:
            places = tuple(dict.fromkeys(parse_place(one, field="ids") for one in asked.ids))
            wanted = replace(wanted, places=places)
        await self._changes.tenant(call.customer_id)
        await self._letters.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        await self._check_ids(call.customer_id, wanted)
        plan = await self._replays.plan(wanted)
        todo = min(asked.limit, plan.to_replay)
        if not asked.dry_run and todo:
            todo = await self._done(wanted, asked.limit)
        return Reply(
            ReplayResult(
                replayed=todo,
                remaining=max(0, plan.to_replay - todo),
                not_replayable=plan.not_replayable,
            )
        )

    async def _done(self, wanted: LetterFilter, limit: int) -> int:
        # To its end, also if whoever asked hangs up: cut off, it would keep the partition
        # from others until its lease is over.
        task = asyncio.create_task(self._replays.replay(wanted, limit=limit, wait_s=_WAIT_S))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _check_ids(self, customer_id: str, wanted: LetterFilter) -> None:
        if not wanted.places:
            return
        mine = LetterFilter(customer_id=customer_id, places=wanted.places)
        found = await self._letters.page(mine, limit=len(wanted.places))
        known = {(letter.partition, letter.offset) for letter in found.letters}
        if known != set(wanted.places):
            # Foreign or made up: the same to whoever asks.
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown_dead_letter",
                "There is no dead letter of one of these ids; list them.",
                field="ids",
            )


def _filter_of(customer_id: str, asked: DeadLetterQuery) -> LetterFilter:
    return LetterFilter(
        customer_id=customer_id,
        endpoint_id=asked.endpoint_id,
        reasons=reasons_of(asked.reason, asked.category, set_aside=asked.set_aside),
        event_type=asked.event_type,
        status=asked.status,
        since_ms=None if asked.since is None else parse_moment(asked.since, field="since"),
        until_ms=None if asked.until is None else parse_moment(asked.until, field="until"),
    )


def _shown(letter: Letter) -> DeadLetterOut:
    document = letter.document()
    return DeadLetterOut(**{name: document[name] for name in DeadLetterOut.__struct_fields__})
