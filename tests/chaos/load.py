"""The events: each customer's in its own sequence, over Kafka or over the API."""

from __future__ import annotations

import asyncio
import http
from itertools import cycle
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp
import orjson

from hookseal.domain.command import AddEndpoint, AddPublicKey, CreateTenant
from hookseal.tenants.commands import KafkaCommands
from tests.builders import a_registry, public_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames

__all__ = ["Load"]

_PAUSE_S = 0.25


class Load:
    """Publishes one event of a customer after the other: its order on the log is known."""

    def __init__(self, producer: Producer, names: TopicNames, *, api_url: str, key: str) -> None:
        self.published = 0
        self._producer = producer
        self._names = names
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {key}"}

    async def register(self, customers: list[str], url: Callable[[str], str]) -> None:
        """Make each customer a tenant with a key and one endpoint."""
        commands = KafkaCommands(self._producer, self._names, a_registry(self._names.prefix))
        key = public_key()

        async def one(customer: str) -> None:
            at: dict[str, Any] = {"customer_id": customer, "at": 0.0}
            await commands.submit(CreateTenant(id=uuid4().hex, **at))
            await commands.submit(
                AddPublicKey(id=uuid4().hex, kid=key.kid, alg=key.alg, jwk=key.jwk, **at)
            )
            await commands.submit(
                AddEndpoint(
                    id=uuid4().hex,
                    endpoint_id="ep_1",
                    url=url(customer),
                    event_types=("*",),
                    **at,
                )
            )

        await asyncio.gather(*(one(customer) for customer in customers))

    async def ready(self, customers: list[str]) -> None:
        """Wait until the API knows them all: then a worker has applied their commands."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            for customer in customers:
                while not await self._knows(session, customer):  # noqa: ASYNC110
                    await asyncio.sleep(_PAUSE_S)

    async def _knows(self, session: aiohttp.ClientSession, customer: str) -> bool:
        try:
            path = f"{self._api_url}/v1/tenants/{customer}/endpoints/ep_1"
            async with session.get(path) as answer:
                return answer.status == http.HTTPStatus.OK
        except aiohttp.ClientError:
            return False

    async def publish(
        self, customers: list[str], *, each: int, seconds: float, api_every: int
    ) -> None:
        """Publish so many events for each customer, spread over the seconds.

        Args:
            customers: Whose.
            each: Events of one customer.
            seconds: For all of them.
            api_every: Every so-manieth customer's events go through the API.
        """
        async with aiohttp.ClientSession(headers=self._headers) as session:
            loop = asyncio.get_running_loop()
            begun = loop.time()

            async def one(customer: str, *, through_api: bool, head_start: float) -> None:
                for number in range(each):
                    due = begun + (number + head_start) * seconds / each
                    # A pace, not a wait: events are to arrive all the time.
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    if through_api:
                        await self._over_api(session, customer, number)
                    else:
                        await self._over_kafka(customer, number)
                    self.published += 1

            shares = cycle(number / 10 for number in range(10))
            await asyncio.gather(
                *(
                    one(customer, through_api=index % api_every == 0, head_start=next(shares))
                    for index, customer in enumerate(customers)
                )
            )

    async def _over_kafka(self, customer: str, number: int) -> None:
        event = {"type": "order.paid", "id": f"{customer}-{number}", "data": {"number": number}}
        await self._producer.publish_surely(
            self._names.events, key=customer.encode(), value=orjson.dumps(event)
        )

    async def _over_api(self, session: aiohttp.ClientSession, customer: str, number: int) -> None:
        event = {
            "customer_id": customer,
            "type": "order.paid",
            "id": f"{customer}-{number}",
            "data": {"number": number},
        }
        while True:
            try:
                async with session.post(f"{self._api_url}/v1/events", json=event) as answer:
                    if answer.ok:
                        return
                    if answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                        raise AssertionError(f"{answer.status}: {await answer.text()}")
            except aiohttp.ClientError:
                pass
            # The API is down: the same event again, with the same id.
            await asyncio.sleep(_PAUSE_S)
