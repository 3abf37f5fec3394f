"""No loss, no disorder: whatever endpoints answer, and wherever a lane is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.delivery.ports import Answer, SealedRequest
from hookseal.domain.backoff import Backoff
from hookseal.errors import AttemptError, BlockedAddressError
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine

EVENTS = 6
ENDPOINTS = ("ep_1", "ep_2")

responses = st.sampled_from(
    [200, 200, 200, 204, 500, 503, 302, 410, "timeout", "blocked", "crash", "stop"]
)


@dataclass
class World:
    """Endpoints with a script each, a log of events, and an owner that can be lost."""

    engine: Engine
    script: list[int | str]

    async def post(self, request: SealedRequest, _: object) -> Answer:
        self.engine.transport.requests.append(request)
        await asyncio.sleep(0)
        response = self.script.pop() if self.script else 200
        if response == "stop":
            self.context.stop()
            return Answer(500)
        if response == "timeout":
            raise AttemptError("timeout", "late")
        if response == "blocked":
            raise BlockedAddressError
        if response == "crash":
            raise RuntimeError("bug")
        return Answer(int(response))

    async def run(self) -> None:
        """Work through the log; a stopped lane is taken over where it left off."""
        self.engine.transport.post = self.post  # type: ignore[method-assign, assignment]
        committed = 0
        while committed < EVENTS:
            self.context = self.engine.context()
            try:
                await self.engine.deliver(a_record(offset=committed), self.context)
            except PartitionStoppedError:
                continue
            committed += 1


@settings(deadline=None)
@given(st.lists(responses, max_size=40), st.integers(1, 3))
def test_every_event_is_accepted_or_dead_lettered_by_each_endpoint_in_order(
    script: list[int | str], attempts: int
) -> None:
    tenant = a_tenant("acme", *(an_endpoint(name) for name in ENDPOINTS))
    engine = Engine(tenant, backoff=Backoff(jitter=0, max_attempts=attempts))

    asyncio.run(World(engine, list(script)).run())

    events = [f"evt_{number}" for number in range(EVENTS)]
    ended = engine.observer.ended
    for endpoint in ENDPOINTS:
        # No loss: each event ended, and what was not accepted is a dead letter.
        assert {event for event, name, _ in ended if name == endpoint} == set(events)
        # Order: no attempt of an event once a later one was attempted.
        attempted = [
            request.headers["webhook-id"]
            for request in engine.transport.requests
            if request.url.endswith(endpoint)
        ]
        assert attempted == sorted(attempted)
    assert [(event, name) for event, name, outcome in ended if not outcome.accepted] == [
        (letter.event_id, letter.endpoint_id) for letter in engine.dead_letters.letters
    ]
