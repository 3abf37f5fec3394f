"""Operations on dead letters: of one tenant, or of all tenants for the operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from msgspec.structs import asdict

from hookseal.api import dead_letter_schemas as schemas
from hookseal.api.operations import Access, Operation, Reply, Resource, run_to_end
from hookseal.api.problems import Problem
from hookseal.api.schemas import read_position, write_position
from hookseal.domain.dead_letter import ADDED_PREFIX, added_headers, category_of
from hookseal.domain.letter_filter import LetterFilter, parse_moment, parse_place, reasons_of
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import LetterPages, LetterRecords, Replays
    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.letter import LettersListed
    from hookseal.domain.record import Header, Headers, Record

_ALL = "/v1/dead-letters"
_OF_TENANT = "/v1/tenants/{customer_id}/dead-letters"
_LIST_WITHIN_S = 5.0
# Longer than another replay of the maximum takes.
REPLAY_BUSY_S = 10.0
_UNKNOWN = {HTTPStatus.NOT_FOUND: ("unknown_dead_letter",)}
_REPLAY_PROBLEMS = {HTTPStatus.CONFLICT: ("replay_busy", "replay_refused")}
_operation = partial(Operation, tag="Dead letters")
_read = partial(_operation, scope="deliveries:read")
_admin = partial(_operation, access=Access.ADMIN)
_replay = partial(_operation, status=HTTPStatus.ACCEPTED)


@dataclass(frozen=True, kw_only=True)
class DeadLetterOperations(Resource):
    """`/v1/tenants/{c}/dead-letters`, and `/v1/dead-letters` for the operator."""

    changes: TenantChanges
    letters: LetterPages
    records: LetterRecords
    replays: Replays

    @_read("GET", _OF_TENANT, queries=schemas.DeadLetterPageQuery, returns=schemas.DeadLetters)
    async def list_dead_letters(self, call: Call) -> Reply:
        """List the dead letters of a tenant, filtered."""
        asked = call.input_as(schemas.DeadLetterPageQuery)
        await self.changes.tenant(call.customer_id)
        found = await self._page(call.customer_id, asked)
        if asked.endpoint_id is not None and not found.letters:
            # Only now: a removed endpoint still has its history.
            await self.changes.endpoint(call.customer_id, asked.endpoint_id, field="endpoint_id")
        return _listed(found, schemas.DeadLetters, schemas.DeadLetterOut)

    @_read(
        "GET",
        f"{_OF_TENANT}/stats",
        queries=schemas.DeadLetterStatsQuery,
        returns=schemas.DeadLetterStats,
    )
    async def count_dead_letters(self, call: Call) -> Reply:
        """Count the dead letters of a tenant by endpoint and reason."""
        await self.changes.tenant(call.customer_id)
        return await self._counted(call.customer_id, call.input_as(schemas.DeadLetterStatsQuery))

    @_replay(
        "POST",
        f"{_OF_TENANT}/replay",
        scope="replay",
        takes=schemas.ReplayRequest,
        returns=schemas.ReplayResult,
        problems=_REPLAY_PROBLEMS,
    )
    async def replay_dead_letters(self, call: Call) -> Reply:
        """Publish the events of dead letters again, each once.

        Each event keeps its id and goes to the endpoint whose delivery failed, encrypted to the
        current public key and sent to the current URL. A dead letter is replayed only once, even
        if the request is repeated. If its delivery fails again, that is a new dead letter.
        """
        asked = call.input_as(schemas.ReplayRequest)
        wanted = _filter_of(call.customer_id, asked)
        await self.changes.tenant(call.customer_id)
        return Reply(await self._replayed(wanted, asked))

    @_admin("GET", _ALL, queries=schemas.AnyDeadLetterPageQuery, returns=schemas.AnyDeadLetters)
    async def list_all_dead_letters(self, call: Call) -> Reply:
        """List the dead letters of all tenants, filtered.

        Includes dead letters without a tenant: of customer ids without a tenant, and of records
        without a key.
        """
        asked = call.input_as(schemas.AnyDeadLetterPageQuery)
        found = await self._page(asked.customer_id, asked)
        return _listed(found, schemas.AnyDeadLetters, schemas.AnyDeadLetterOut)

    @_admin(
        "GET",
        f"{_ALL}/stats",
        queries=schemas.AnyDeadLetterStatsQuery,
        returns=schemas.DeadLetterStats,
    )
    async def count_all_dead_letters(self, call: Call) -> Reply:
        """Count dead letters by customer, endpoint and reason."""
        asked = call.input_as(schemas.AnyDeadLetterStatsQuery)
        return await self._counted(asked.customer_id, asked)

    @_admin(
        "GET",
        f"{_ALL}/{{partition}}/{{offset}}",
        queries=schemas.DeadLetterRecordQuery,
        returns=schemas.DeadLetterRecordOut,
        problems=_UNKNOWN,
    )
    async def get_dead_letter(self, call: Call) -> Reply:
        """Show one dead letter with its headers and the attempts before it.

        The event and the headers of its producer are masked: only their sizes are returned, unless
        `reveal=true`.
        """
        reveal = call.input_as(schemas.DeadLetterRecordQuery).reveal
        name = f"{call.part('partition')}/{call.part('offset')}"
        partition, offset = parse_place(name, field="id")
        letter = await self.records.get(partition, offset)
        if letter is None:
            raise _unknown(
                name, f"No dead letter exists at partition {partition}, offset {offset}."
            )
        attempts = await self.records.attempts(letter)
        return Reply(_record_out(letter, attempts, reveal=reveal))

    @_replay(
        "POST",
        f"{_ALL}/replay",
        access=Access.ADMIN,
        takes=schemas.AnyReplayRequest,
        returns=schemas.AnyReplayResult,
        problems={**_REPLAY_PROBLEMS, **_UNKNOWN},
    )
    async def replay_all_dead_letters(self, call: Call) -> Reply:
        """Replay the dead letters of all tenants, each once.

        As `replayDeadLetters`, over all tenants or one `customer_id`.
        """
        asked = call.input_as(schemas.AnyReplayRequest)
        wanted = _filter_of(asked.customer_id, asked)
        done = await self._replayed(wanted, asked)
        # Only now does the ledger include what an interrupted replay had done.
        after = await self.replays.plan(wanted)
        before = after.replayed - (0 if asked.dry_run else done.replayed)
        return Reply(schemas.AnyReplayResult(**asdict(done), replayed_before=max(0, before)))

    async def _page(
        self, customer_id: str | None, asked: schemas.DeadLetterPageQuery
    ) -> LettersListed:
        wanted = _filter_of(customer_id, asked)
        cursor = read_position(asked.cursor)
        after = asked.after if isinstance(asked, schemas.AnyDeadLetterPageQuery) else None
        position = None if after is None else parse_place(after, field="after")
        await self.letters.catch_up(timeout_s=_LIST_WITHIN_S)
        if cursor is None and position is not None:
            cursor = await self.letters.cursor_at(*position)
        return await self.letters.page(wanted, order=asked.order, limit=asked.limit, cursor=cursor)

    async def _counted(self, customer_id: str | None, asked: schemas.DeadLetterStatsQuery) -> Reply:
        wanted = _filter_of(customer_id, asked)
        await self.letters.catch_up(timeout_s=_LIST_WITHIN_S)
        items = [schemas.DeadLetterCount(**row) for row in await self.letters.stats(wanted)]
        return Reply(schemas.DeadLetterStats(items=items))

    async def _replayed(
        self, wanted: LetterFilter, asked: schemas.ReplayRequest
    ) -> schemas.ReplayResult:
        await self.letters.catch_up(timeout_s=_LIST_WITHIN_S)
        await self._check_ids(wanted)
        plan = await self.replays.plan(wanted)
        todo = min(asked.limit, plan.to_replay)
        if not asked.dry_run and todo:
            todo = await run_to_end(
                self.replays.replay(wanted, limit=asked.limit, wait_s=REPLAY_BUSY_S)
            )
        return schemas.ReplayResult(
            replayed=todo,
            remaining=max(0, plan.to_replay - todo),
            not_replayable=plan.not_replayable,
        )

    async def _check_ids(self, wanted: LetterFilter) -> None:
        if not wanted.places:
            return
        mine = LetterFilter(customer_id=wanted.customer_id, places=wanted.places)
        found = await self.letters.page(mine, limit=len(wanted.places))
        known = {(letter.partition, letter.offset) for letter in found.letters}
        if known != set(wanted.places):
            # One answer for ids of other tenants and for ids that do not exist.
            raise _unknown("ids", "No dead letter has one of these ids. List the dead letters.")


def _unknown(field: str, detail: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "unknown_dead_letter", detail, field=field)


def _filter_of(customer_id: str | None, asked: schemas.DeadLetterStatsQuery) -> LetterFilter:
    fields: dict[str, Any] = {
        f"{name}_ms": parse_moment(text, field=name)
        for name, text in (("since", asked.since), ("until", asked.until))
        if text is not None
    }
    if isinstance(asked, schemas.DeadLetterQuery):
        names = ("endpoint_id", "event_id", "event_type", "status")
        fields |= {name: getattr(asked, name) for name in names}
        fields["reasons"] = reasons_of(asked.reason, asked.category, set_aside=asked.set_aside)
    if isinstance(asked, schemas.DeadLetterPageQuery):
        fields["replayed"] = asked.replayed
    if isinstance(asked, schemas.ReplayRequest) and asked.ids is not UNSET:
        fields["places"] = tuple(dict.fromkeys(parse_place(one, field="ids") for one in asked.ids))
    return LetterFilter(customer_id=customer_id, **fields)


def _listed(
    found: LettersListed,
    page: type[schemas.DeadLetters | schemas.AnyDeadLetters],
    item: type[schemas.DeadLetterOut],
) -> Reply:
    documents = [letter.document() for letter in found.letters]
    names = item.__struct_fields__
    items: list[Any] = [item(**{name: one[name] for name in names}) for one in documents]
    return Reply(page(items=items, next_cursor=write_position(found.next_cursor)))


def _record_out(
    letter: Record, attempts: Sequence[AttemptRecord], *, reveal: bool
) -> schemas.DeadLetterRecordOut:
    found = added_headers(letter.headers)
    names = ("reason", "error", "endpoint_id", "event_id", "attempts", "status", "failed_at")
    added: dict[str, Any] = {name: found.get(name.replace("_", "-")) for name in names}
    return schemas.DeadLetterRecordOut(
        id=f"{letter.partition}/{letter.offset}",
        partition=letter.partition,
        offset=letter.offset,
        customer_id=None if letter.key is None else _text(letter.key),
        category=category_of(added.get("reason") or ""),
        **added,
        headers=[
            schemas.HeaderOut(
                name=name,
                value=_text(value) if reveal or name.startswith(ADDED_PREFIX) else None,
                size=len(value or b""),
            )
            for name, value in _shown(letter.headers)
        ],
        history=[schemas.AttemptOut(**{**asdict(one), "at": rfc3339(one.at)}) for one in attempts],
        event=_text(letter.value) if reveal else None,
        size=len(letter.value or b""),
    )


def _shown(headers: Headers) -> list[Header]:
    """Return the headers; of those of hookseal with one name, the last, which counts.

    A replayed event that failed again has those of its earlier dead letter, too.
    """
    last = {name: index for index, (name, _) in enumerate(headers)}
    return [
        (name, value)
        for index, (name, value) in enumerate(headers)
        if not name.startswith(ADDED_PREFIX) or last[name] == index
    ]


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
