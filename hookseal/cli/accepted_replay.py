"""`hookseal dead-letters replay --accepted`: the events of an endpoint, over the HTTP API."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from hookseal.cli import ui
from hookseal.cli.api_session import client
from hookseal.config import load
from hookseal.errors import ConflictError

if TYPE_CHECKING:
    from hookseal.cli.api_service import Part

_PARTS: "frozenset[Part]" = frozenset({"tenants", "dead_letters"})
# A request waits up to 10 s for another replay, and reads events for up to 10 s.
_TIMEOUT_S = 40.0
_REQUEST_MAX_EVENTS = 1000


async def replay_accepted(asked: dict[str, Any], again: str, per_s: float | None) -> int:
    """Publish the events of an endpoint again, at most `per_s` per second; return how many.

    Raises:
        ConflictError: `unknown_tenant`, `unknown_endpoint`; `replay_refused` names the first event
            that Kafka refuses, once all others are published.
        HooksealError: As `api_session.client` and `ApiClient.ask`.
    """
    limit = _REQUEST_MAX_EVENTS if per_s is None else min(_REQUEST_MAX_EVENTS, int(per_s))
    names = ("customer_id", "endpoint_id", "since", "until")
    body = {name: asked[name] for name in names if name in asked} | {"again": again, "limit": limit}
    refused: ConflictError | None = None
    replayed, offset, is_waiting = 0, 0, False
    async with client(
        load(), parts=_PARTS, customer_id=asked["customer_id"], timeout_s=_TIMEOUT_S
    ) as api:
        with ui.progress() as bar:
            task = bar.add_task("Replaying", total=None)
            while offset is not None:
                began = time.monotonic()
                try:
                    answer = await api.ask(
                        "POST", "/v1/events/replay", {**body, "start_offset": offset}
                    )
                except ConflictError as error:
                    if error.code == "replay_refused":
                        # The other events of this request are published. Go on behind this one.
                        refused = refused or error
                        offset = int((error.field or "").partition("/")[2]) + 1
                    elif error.code != "replay_busy":
                        raise
                    elif not is_waiting:
                        is_waiting = True
                        ui.err.print("Another replay runs on this partition; waiting for it.")
                    continue
                offset, count = answer["next_offset"], answer["replayed"]
                replayed += count
                bar.advance(task, count)
                if per_s is not None and offset is not None:
                    await asyncio.sleep(max(0.0, count / per_s - (time.monotonic() - began)))
    if refused is not None:
        raise refused
    return replayed
