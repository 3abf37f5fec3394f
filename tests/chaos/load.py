"""The events: each customer's in its own sequence, over Kafka or over the API."""

from __future__ import annotations

import asyncio
import http
from collections import defaultdict
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hookseal.domain.command import AddEndpoint, AddPublicKey, CreateTenant
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.commands import KafkaCommands
from tests.builders import a_registry, public_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.endpoint import EndpointOrdering
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.producer import Producer

__all__ = ["ORDERING_KEYS", "Endpoint", "Load"]

ORDERING_KEYS = 3
"""Ordering keys of a customer: `<number> % ORDERING_KEYS`."""

_PAUSE_S = 0.25
# Of the events in transactions, every so-manieth comes after one that is aborted.
_ABORTED_EVERY = 4


class Endpoint(NamedTuple):
    """One endpoint of a customer; `ordering`: its own mode."""

    customer: str
    id: str
    ordering: EndpointOrdering | None = None

    @property
    def receiver(self) -> str:
        return f"{self.customer}/{self.id}"


class Load:
    """Publishes one event of a customer after the other: its order on the log is known."""

    def __init__(self, producer: Producer, cluster: Cluster, *, api_url: str, key: str) -> None:
        self.published = 0
        self._producer = producer
        self._cluster = cluster
        self._names = TopicNames(cluster.topic_prefix)
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {key}"}

    async def register(self, endpoints: list[Endpoint], url: Callable[[str], str]) -> None:
        """Make each customer a tenant with a key and its endpoints."""
        commands = KafkaCommands(self._producer, self._names, a_registry(self._names.prefix))
        key = public_key()
        of_customer: dict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in endpoints:
            of_customer[endpoint.customer].append(endpoint)

        async def one(customer: str) -> None:
            at: dict[str, Any] = {"customer_id": customer, "at": 0.0}
            await commands.submit(CreateTenant(id=uuid4().hex, **at))
            await commands.submit(
                AddPublicKey(id=uuid4().hex, kid=key.kid, alg=key.alg, jwk=key.jwk, **at)
            )
            for endpoint in of_customer[customer]:
                await commands.submit(
                    AddEndpoint(
                        id=uuid4().hex,
                        endpoint_id=endpoint.id,
                        url=url(endpoint.receiver),
                        event_types=("*",),
                        ordering=endpoint.ordering,
                        **at,
                    )
                )

        await asyncio.gather(*(one(customer) for customer in of_customer))

    async def ready(self, endpoints: list[Endpoint]) -> None:
        """Wait until the API knows them all: then a worker has applied their commands."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            for endpoint in endpoints:
                await self._until(session, "get", endpoint, "", http.HTTPStatus.OK)

    async def pause(self, endpoint: Endpoint, seconds: float) -> None:
        """Pause the endpoint, and resume it."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            await self._until(session, "post", endpoint, "/pause", http.HTTPStatus.OK)
            await asyncio.sleep(seconds)
            # Conflict: a repeat, because the first answer was lost.
            done = http.HTTPStatus.OK, http.HTTPStatus.CONFLICT
            await self._until(session, "post", endpoint, "/resume", *done)

    async def _until(
        self,
        session: aiohttp.ClientSession,
        method: str,
        endpoint: Endpoint,
        path: str,
        *wanted: http.HTTPStatus,
    ) -> None:
        """Ask until the answer is a wanted one: the API may be down, or not ready yet."""
        url = f"{self._api_url}/v1/tenants/{endpoint.customer}/endpoints/{endpoint.id}{path}"
        while True:
            with suppress(aiohttp.ClientError):
                async with session.request(method, url) as answer:
                    if answer.status in wanted:
                        return
            await asyncio.sleep(_PAUSE_S)

    async def open_transaction(self, customer: str, seconds: float) -> None:
        """Hold the customer's partition by a transaction that is aborted in the end."""
        transactions = Transactions(self._cluster, f"open-{uuid4().hex}")
        try:
            await transactions.aborted(self._names.events, customer, "open", seconds)
        finally:
            await transactions.close()

    async def publish(
        self, customers: list[str], *, each: int, seconds: float, api_every: int
    ) -> None:
        """Publish so many events for each customer, spread over the seconds.

        Args:
            customers: Whose.
            each: Events of one customer.
            seconds: For all of them.
            api_every: Every so-manieth customer's events go through the API, and those of the next
                one are written in transactions.
        """
        async with aiohttp.ClientSession(headers=self._headers) as session:
            loop = asyncio.get_running_loop()
            begun = loop.time()

            async def one(customer: str, *, kind: int, head_start: float) -> None:
                transactions = Transactions(self._cluster, f"load-{customer}")
                for number in range(each):
                    due = begun + (number + head_start) * seconds / each
                    # A pace, not a wait: events are to arrive all the time.
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    if kind == 0:
                        await self._over_api(session, customer, number)
                    elif kind == 1:
                        if number % _ABORTED_EVERY == 0:
                            await transactions.aborted(self._names.events, customer, f"x{number}")
                        await transactions.committed(self._names.events, customer, number)
                    else:
                        await self._over_kafka(customer, number)
                    self.published += 1
                await transactions.close()

            shares = cycle(number / 10 for number in range(10))
            await asyncio.gather(
                *(
                    one(customer, kind=index % api_every, head_start=next(shares))
                    for index, customer in enumerate(customers)
                )
            )

    async def _over_kafka(self, customer: str, number: int) -> None:
        await self._producer.publish_surely(
            self._names.events, key=customer.encode(), value=_event(customer, number)
        )

    async def _over_api(self, session: aiohttp.ClientSession, customer: str, number: int) -> None:
        event = {
            "customer_id": customer,
            "type": "order.paid",
            "id": f"{customer}-{number}",
            "data": {"number": number},
            "ordering_key": str(number % ORDERING_KEYS),
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


class Transactions:
    """Writes events in transactions, and begins anew with each failure."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._arguments = cluster.arguments() | {"transactional_id": transactional_id}
        self._producer: AIOKafkaProducer | None = None

    async def committed(self, topic: str, customer: str, number: int) -> None:
        """Write one event; a repeat after a failed commit may write it twice."""
        while True:
            try:
                producer = await self._started()
                async with producer.transaction():
                    await _send(producer, topic, customer, _event(customer, number))
            except KafkaError:
                await self.close()
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def aborted(self, topic: str, customer: str, number: str, seconds: float = 0.0) -> None:
        """Write one event and abort the transaction after some seconds."""
        with suppress(KafkaError):
            producer = await self._started()
            await producer.begin_transaction()
            await _send(producer, topic, customer, _event(customer, number))
            await asyncio.sleep(seconds)
            await producer.abort_transaction()
            return
        await self.close()

    async def close(self) -> None:
        """Abort what is open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):
                await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(**self._arguments)
            # Before the start: a failed start leaves tasks behind.
            self._producer = producer
            await producer.start()
        return self._producer


async def _send(producer: AIOKafkaProducer, topic: str, customer: str, value: bytes) -> None:
    await producer.send_and_wait(topic, key=customer.encode(), value=value)


def _event(customer: str, number: int | str) -> bytes:
    key = str(number % ORDERING_KEYS) if isinstance(number, int) else "0"
    event = {
        "type": "order.paid",
        "id": f"{customer}-{number}",
        "data": {"number": number},
        "ordering_key": key,
    }
    return orjson.dumps(event)
