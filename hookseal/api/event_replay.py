"""Replay of an endpoint's events, including accepted events, for the operator."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from hookseal.api.dead_letter_schemas import REPLAY_MAX
from hookseal.api.dead_letters import REPLAY_BUSY_S
from hookseal.api.operations import Access, Operation, Reply, Resource, run_to_end
from hookseal.api.schemas import Input, Output, Text
from hookseal.dead_letters.replay import EventsWanted
from hookseal.domain.letter_filter import parse_moment

if TYPE_CHECKING:
    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import Replays


class EventReplayRequest(Input, frozen=True):
    """Which events to publish again for one endpoint.

    Attributes:
        since: RFC 3339 or a day: written at this time or later.
        until: RFC 3339 or a day: written before this time.
        again: A new name replays the same events once more.
        limit: Events to publish at most; repeat the request for the rest.
        start_offset: Offset on `events` to start at: the `next_offset` of the answer before.
    """

    customer_id: Text
    endpoint_id: Text
    since: Text
    until: Text | None = None
    again: Text = ""
    limit: Annotated[int, Meta(ge=1, le=REPLAY_MAX)] = REPLAY_MAX
    start_offset: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class EventReplayResult(Output, frozen=True):
    """The progress of a replay.

    Attributes:
        replayed: Events that this request published again.
        next_offset: Offset on `events` to go on from; null if the replay is complete.
    """

    replayed: int
    next_offset: int | None


@dataclass(frozen=True, kw_only=True)
class EventReplayOperations(Resource):
    """`/v1/events/replay`."""

    changes: TenantChanges
    replays: Replays

    @Operation(
        "POST",
        "/v1/events/replay",
        "Events",
        access=Access.ADMIN,
        status=HTTPStatus.ACCEPTED,
        takes=EventReplayRequest,
        returns=EventReplayResult,
        problems={
            HTTPStatus.NOT_FOUND: ("unknown_tenant", "unknown_endpoint"),
            HTTPStatus.CONFLICT: ("replay_busy", "replay_refused", "replay_unsupported"),
        },
    )
    async def replay_events(self, call: Call) -> Reply:
        """Publish the events of an endpoint again, including accepted events.

        Repeat the request with `start_offset` until `next_offset` is null. Each event is published
        once for the same `customer_id`, `endpoint_id`, `since`, `until` and `again`, up to the end
        that `events` had at the first request. `hookseal local` does not keep delivered events: it
        answers 409 `replay_unsupported`.
        """
        asked = call.input_as(EventReplayRequest)
        since_ms = parse_moment(asked.since, field="since")
        until_ms = None if asked.until is None else parse_moment(asked.until, field="until")
        _, endpoint = await self.changes.endpoint(
            asked.customer_id, asked.endpoint_id, field="endpoint_id"
        )
        wanted = EventsWanted(
            asked.customer_id, endpoint.id, since_ms, endpoint.wants, until_ms, asked.again
        )
        replayed, next_offset = await run_to_end(
            self.replays.replay_events(
                wanted, start=asked.start_offset, limit=asked.limit, wait_s=REPLAY_BUSY_S
            )
        )
        return Reply(EventReplayResult(replayed=replayed, next_offset=next_offset))
