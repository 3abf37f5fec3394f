"""Dead letters over the HTTP API: list, count, show and replay."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hookseal.cli import ui
from hookseal.cli.api_session import client, operator_or_tenant
from hookseal.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookseal.api.client import ApiClient
    from hookseal.cli.api_service import Part

# Seconds for one request: a replay waits up to 10 s for another one.
_TIMEOUT_S = 30.0
# A replay of accepted events also reads `events` for up to 10 s.
_ACCEPTED_TIMEOUT_S = 40.0
_PAGE = 1000
_REPLAY_BATCH = 1000

Json = dict[str, Any]


@asynccontextmanager
async def letter_client(
    customer_id: str | None = None, *, indexed: bool = True
) -> AsyncIterator[LetterClient]:
    """Yield a client for the dead letters of all tenants.

    With a tenant's API key it is for the dead letters of that tenant, `customer_id`. If `indexed`,
    an API in this process reads its index first.

    Raises:
        ConfigurationError: `admin_only`: a tenant's key needs the tenant's id.
        HooksealError: As `api_session.client`.
    """
    from hookseal.config import load

    if not indexed:
        async with client(load(), parts=frozenset(), timeout_s=_TIMEOUT_S) as api:
            yield LetterClient(api, "/v1/dead-letters", None)
        return
    parts: frozenset[Part] = frozenset({"dead_letters"})
    async with operator_or_tenant(customer_id, parts=parts, timeout_s=_TIMEOUT_S) as (api, path):
        yield LetterClient(api, f"{path}/dead-letters", None if path == "/v1" else customer_id)


class LetterClient:
    """Uses the routes of one tenant, or those of the operator if `customer_id` is None."""

    def __init__(self, api: ApiClient, path: str, customer_id: str | None) -> None:
        self._api = api
        self._path = path
        self._customer_id = customer_id

    async def page(
        self, wanted: Json, *, order: str, limit: int, after: str | None
    ) -> tuple[list[Json], bool]:
        """Return up to `limit` letters after the id `after`, and whether there are more.

        Raises:
            HooksealError: As `ApiClient.ask`; `unknown_dead_letter`.
        """
        query = {**self._filter(wanted), "order": order, "limit": min(_PAGE, limit + 1)}
        is_skipping = False
        if after is not None and self._customer_id is None:
            query["after"] = after
        elif after is not None:
            # The tenant's route has cursors, but no `after`.
            is_skipping, query["limit"] = True, _PAGE
        found: list[Json] = []
        async for letter in self._api.items(self._path, query):
            if is_skipping:
                is_skipping = letter["id"] != after
            elif len(found) == limit:
                return found, True
            else:
                found.append(self._complete(letter))
        if is_skipping:
            raise InvalidInputError(
                "unknown_dead_letter", f"There is no dead letter {after}.", field=after
            )
        return found, False

    async def stats(self, wanted: Json) -> list[Json]:
        """Return counts by customer, endpoint and reason, the largest first."""
        query = self._filter(wanted)
        rows: list[Json] = (await self._api.ask("GET", f"{self._path}/stats", query=query))["items"]
        return rows

    async def show(self, letter_id: str, *, reveal: bool) -> Json:
        """Return one letter with its headers and attempts, or raise `unknown_dead_letter`."""
        query = {"reveal": reveal}
        return dict(await self._api.ask("GET", f"{self._path}/{letter_id}", query=query))

    async def plan(self, wanted: Json) -> Json:
        """Return what `replay` would do: `to_replay`, `not_replayable`, `replayed_before`."""
        answer = await self._replay({**self._filter(wanted), "dry_run": True})
        names = ("replayed_before", "not_replayable")
        figures = {name: answer[name] for name in names if name in answer}
        return {"to_replay": answer["replayed"] + answer["remaining"], **figures}

    async def replay(
        self,
        wanted: Json,
        plan: Json,
        most: int,
        per_s: float | None,
        on_progress: Callable[[int], None],
    ) -> Json:
        """Replay at most `most` letters of a `plan`, `per_s` a second; return the figures.

        `on_progress` gets the number of letters published since its last call.

        Raises:
            ConflictError: `replay_refused` with the id of the first letter that Kafka refuses. All
                other letters are published.
        """
        body = self._filter(wanted)
        at_once = _REPLAY_BATCH if per_s is None else max(1, min(_REPLAY_BATCH, int(per_s)))
        known, done = plan["to_replay"], 0
        refused: ConflictError | None = None
        while done < most:
            began = time.monotonic()
            try:
                answer = await self._replay({**body, "limit": min(at_once, most - done)})
                count, known = answer["replayed"], answer["remaining"]
                plan = answer
            except ConflictError as error:
                if error.code != "replay_refused":
                    raise
                # The other letters of the request are published; the next plan says how many.
                refused = refused or error
                left = (await self.plan(wanted))["to_replay"]
                count, known = known - left, left
            if count <= 0:
                break
            done += count
            on_progress(count)
            if per_s is not None and done < most:
                await asyncio.sleep(max(0.0, count / per_s - (time.monotonic() - began)))
        if refused is not None:
            raise refused
        figures = {"replayed": done}
        if "replayed_before" in plan:
            # The last answer includes what an interrupted replay had published.
            published = plan.get("replayed", 0)
            figures["replayed_before"] = plan["replayed_before"] + published - done
        return {**figures, "not_replayable": plan["not_replayable"]}

    async def _replay(self, body: Json) -> Json:
        is_told = False
        while True:
            try:
                return dict(await self._api.ask("POST", f"{self._path}/replay", body))
            except ConflictError as error:
                if error.code != "replay_busy":
                    raise
            if not is_told:
                is_told = True
                ui.err.print("Another replay is running; waiting for it.")

    def _filter(self, wanted: Json) -> Json:
        if self._customer_id is None:
            return wanted
        return {name: value for name, value in wanted.items() if name != "customer_id"}

    def _complete(self, letter: Json) -> Json:
        if self._customer_id is None:
            return letter
        partition, offset = map(int, letter["id"].split("/"))
        own = {"customer_id": self._customer_id, "partition": partition, "offset": offset}
        return {**letter, **own}


async def replay_accepted(asked: dict[str, Any], again: str, per_s: float | None) -> int:
    """Publish the events of an endpoint again, at most `per_s` per second; return how many.

    Raises:
        ConflictError: `unknown_tenant`, `unknown_endpoint`; `replay_refused` names the first event
            that Kafka refuses, once all others are published.
        HooksealError: As `api_session.client` and `ApiClient.ask`.
    """
    from hookseal.config import load

    limit = _REPLAY_BATCH if per_s is None else min(_REPLAY_BATCH, int(per_s))
    names = ("customer_id", "endpoint_id", "since", "until")
    body = {name: asked[name] for name in names if name in asked} | {"again": again, "limit": limit}
    refused: ConflictError | None = None
    replayed, offset, is_waiting = 0, 0, False
    async with client(
        load(),
        parts=frozenset({"tenants", "dead_letters"}),
        customer_id=asked["customer_id"],
        timeout_s=_ACCEPTED_TIMEOUT_S,
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
