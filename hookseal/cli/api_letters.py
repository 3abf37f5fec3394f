"""Dead letters over the HTTP API: what the commands do where HOOKSEAL_API_URL is set."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hookseal.cli.api_client import tenant_path
from hookseal.cli.api_session import named_api
from hookseal.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from hookseal.cli.api_client import ApiClient
    from hookseal.config import Settings

__all__ = ["ApiLetters", "api_letters"]

_TIMEOUT_S = 30.0
_PAGE = 1000
_REPLAYED_AT_ONCE = 1000
_NOTED_WITHIN = timedelta(seconds=1)

Letter = dict[str, Any]


@asynccontextmanager
async def api_letters(settings: Settings) -> AsyncIterator[ApiLetters]:
    """Yield the dead letters of the API that the settings name.

    Raises:
        HooksealError: As `named_api`.
    """
    async with named_api(settings, timeout_s=_TIMEOUT_S) as client:
        yield ApiLetters(client)


class ApiLetters:
    """The API has them by tenant: where none is named, each tenant is asked."""

    def __init__(self, client: ApiClient) -> None:
        """Prepare; the client stays its owner's."""
        self._client = client

    async def page(
        self, wanted: Letter, *, order: str, limit: int, after: str | None
    ) -> tuple[list[Letter], bool]:
        """Return letters in this order, and whether there are more.

        Args:
            wanted: The API's filter, with `customer_id` if there is one.
            order: `newest` or `oldest`.
            limit: At most so many.
            after: Only those behind the letter of this id.

        Raises:
            HooksealError: As `ApiClient.ask`; `unknown_dead_letter`.
        """
        most = None if after is not None else limit + 1
        found = [
            letter
            for customer_id in await self._customers(wanted)
            async for letter in self._of(customer_id, wanted, order=order, most=most)
        ]
        found.sort(key=_place, reverse=order == "newest")
        if after is not None:
            ids = [letter["id"] for letter in found]
            if after not in ids:
                raise InvalidInputError(
                    "unknown_dead_letter", "There is none at this place.", field=after
                )
            found = found[ids.index(after) + 1 :]
        return found[:limit], len(found) > limit

    async def stats(self, wanted: Letter) -> list[Letter]:
        """Return how many letters there are by customer, endpoint and reason, most first."""
        groups: dict[tuple[Any, ...], list[Letter]] = defaultdict(list)
        for customer_id in await self._customers(wanted):
            async for one in self._of(customer_id, wanted, order="oldest", most=None):
                groups[customer_id, one["endpoint_id"], one["reason"]].append(one)
        rows = [
            {
                "customer_id": customer_id,
                "endpoint_id": endpoint_id,
                "reason": reason,
                "category": letters[0]["category"],
                "count": len(letters),
                "replayed": sum(letter["replayed_at"] is not None for letter in letters),
                "first_failed_at": letters[0]["failed_at"],
                "last_failed_at": letters[-1]["failed_at"],
            }
            for (customer_id, endpoint_id, reason), letters in groups.items()
        ]
        return sorted(rows, key=lambda row: -row["count"])

    async def at(self, place: str) -> tuple[Letter, list[Letter]]:
        """Return one letter, and the attempts before it, oldest first.

        Raises:
            InvalidInputError: `unknown_dead_letter`.
        """
        for customer_id in await self._customers({}):
            async for letter in self._of(customer_id, {}, order="newest", most=None):
                if letter["id"] == place:
                    return letter, await self._attempts(customer_id, letter)
        raise InvalidInputError("unknown_dead_letter", "There is none at this place.", field=place)

    async def plan(self, wanted: Letter) -> Letter:
        """Return what `replay` would do."""
        return await self._replay(wanted, {"dry_run": True}, None)

    async def replay(
        self,
        wanted: Letter,
        *,
        limit: int | None,
        per_s: float | None,
        on_progress: Callable[[int], None],
    ) -> Letter:
        """Publish the letters' events again; return how many were.

        Args:
            wanted: As for `page`, or with `ids`.
            limit: At most so many.
            per_s: At most so many a second; None = no bound.
            on_progress: Told how many more were published.
        """
        done, left = 0, 1
        at_once = _REPLAYED_AT_ONCE if per_s is None else max(1, min(_REPLAYED_AT_ONCE, int(per_s)))
        answer: Letter = {"replayed": 0, "not_replayable": 0}
        while left and (limit is None or done < limit):
            began = time.monotonic()
            most = at_once if limit is None else min(at_once, limit - done)
            answer = await self._replay(wanted, {}, most)
            done, left = done + answer["replayed"], answer["remaining"]
            on_progress(answer["replayed"])
            if not answer["replayed"]:
                break
            if per_s is not None and left:
                wait_s = answer["replayed"] / per_s - (time.monotonic() - began)
                await asyncio.sleep(max(0.0, wait_s))
        return {"replayed": done, "not_replayable": answer["not_replayable"]}

    async def _replay(self, wanted: Letter, more: Letter, most: int | None) -> Letter:
        total: Letter = {"replayed": 0, "remaining": 0, "not_replayable": 0}
        asked = {name: value for name, value in wanted.items() if name != "customer_id"}
        missing = set(asked.get("ids", ()))
        for customer_id in await self._customers(wanted):
            body = {**asked, **more}
            if "ids" in asked:
                # Each tenant knows its own only.
                found = [one["id"] async for one in self._of(customer_id, {}, order="oldest")]
                body["ids"] = [one for one in asked["ids"] if one in found]
                missing -= set(found)
                if not body["ids"]:
                    continue
            if most is not None:
                if most <= 0:
                    body["dry_run"] = True
                else:
                    body["limit"] = most
            path = f"{tenant_path(customer_id)}/dead-letters/replay"
            answer = await self._client.ask("POST", path, body)
            if most is not None and most <= 0:
                total["remaining"] += answer["replayed"] + answer["remaining"]
            else:
                for name in ("replayed", "remaining"):
                    total[name] += answer[name]
                most = None if most is None else most - answer["replayed"]
            total["not_replayable"] += answer["not_replayable"]
        if missing:
            raise ConflictError(
                "unknown_dead_letter", "There is none of this id.", field=min(missing)
            )
        return total

    async def _attempts(self, customer_id: str, letter: Letter) -> list[Letter]:
        query = {"event_id": letter["event_id"] or "", "endpoint_id": letter["endpoint_id"] or ""}
        path = f"{tenant_path(customer_id)}/deliveries?{urlencode(query)}&limit=100"
        found: list[Letter] = (await self._client.ask("GET", path))["items"]
        # Those of a replay came later; those before it are noted a moment after they ended.
        until = datetime.fromisoformat(letter["failed_at"]) + _NOTED_WITHIN
        return [one for one in reversed(found) if datetime.fromisoformat(one["at"]) <= until]

    async def _customers(self, wanted: Letter) -> Sequence[str]:
        if wanted.get("customer_id") is not None:
            return [wanted["customer_id"]]
        found: list[str] = []
        cursor = ""
        while True:
            page = await self._client.ask("GET", f"/v1/tenants?limit={_PAGE}{cursor}")
            found += [tenant["customer_id"] for tenant in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&{urlencode({'cursor': page['next_cursor']})}"

    async def _of(
        self, customer_id: str, wanted: Letter, *, order: str, most: int | None = None
    ) -> AsyncIterator[Letter]:
        asked = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in wanted.items()
            if value is not None and name not in {"customer_id", "ids"}
        }
        asked |= {"order": order, "limit": _PAGE if most is None else min(_PAGE, most)}
        count = 0
        while True:
            path = f"{tenant_path(customer_id)}/dead-letters?{urlencode(asked)}"
            page = await self._client.ask("GET", path)
            for letter in page["items"]:
                yield {**letter, "customer_id": customer_id}
            count += len(page["items"])
            if page["next_cursor"] is None or (most is not None and count >= most):
                return
            asked["cursor"] = page["next_cursor"]


def _place(letter: Letter) -> tuple[str, int, int]:
    partition, offset = letter["id"].split("/")
    return letter["failed_at"], int(partition), int(offset)
