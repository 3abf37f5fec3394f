"""Dead letters, their replay and the delivery log, through the API, with real workers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from hookseal.domain.command import AddPublicKey, ChangeEndpoint
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.partitioner import partition_of
from hookseal.seal.keys import generate_private_key, parse_public_key
from tests.brokers.reading import read_all
from tests.builders import public_key
from tests.e2e.conftest import PARTITIONS, closed_port
from tests.e2e.process import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider

# Replays are fenced with transactions, which the embedded broker does not know.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

CANARY = "canary-of-the-payload"


async def switch(provider: Provider, customer_id: str, *, enabled: bool) -> None:
    command = ChangeEndpoint(
        customer_id=customer_id, id=uuid4().hex, at=0.0, endpoint_id="ep_1", enabled=enabled
    )
    await provider.commands.submit(command)


async def until_endpoint(api: Api, customer_id: str, *, enabled: bool) -> None:
    async with asyncio.timeout(30):
        while (await api.do("GET", f"/v1/tenants/{customer_id}/endpoints/ep_1"))[
            "enabled"
        ] is not enabled:
            pass


async def replayed(api: Api, customer_id: str, **wanted: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await api.do(
        "POST", f"/v1/tenants/{customer_id}/dead-letters/replay", wanted
    )
    return answer


async def test_what_was_set_aside_is_replayed_once_and_in_order_to_the_endpoint_it_was_for(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    for customer in ("acme", "other"):
        await provider.tenant(customer, receiver.url(customer), receiver.url(customer, "ep_2"))
        await switch(provider, customer, enabled=False)
    worker, api = await provider.worker(), await provider.api()
    for number in range(30):
        for customer in ("acme", "other"):
            await provider.publish(customer, number)
    await provider.dead_letters_reach(60)
    await receiver.until(lambda: len(receiver.arrivals) == 60)
    assert {arrival.endpoint_id for arrival in receiver.arrivals} == {"ep_2"}
    await switch(provider, "acme", enabled=True)
    await until_endpoint(api, "acme", enabled=True)
    live = await provider.publish("acme", 30)

    first = await replayed(api, "acme", set_aside=True, limit=20)
    rest = await replayed(api, "acme", set_aside=True)
    again = await replayed(api, "acme", set_aside=True)
    await provider.publish("acme", 31)
    await receiver.until(lambda: len(receiver.arrivals) == 60 + 2 * 2 + 30)

    assert (first["replayed"], first["remaining"]) == (20, 10)
    assert (rest["replayed"], again["replayed"]) == (10, 0)
    # Behind what was published before them, in front of what came after.
    at_ep_1 = [one for one in receiver.arrivals if one.endpoint_id == "ep_1"]
    order = [30, *range(30), 31]
    assert [one.event_id for one in at_ep_1] == [f"acme-{number}" for number in order]
    assert live.offset >= 30
    assert len(receiver.accepted("other")) == 30
    assert not worker.events("delivery.internal_error")


async def letters_of(provider: Provider, event_id: str, count: int) -> None:
    """Wait until the event has that many dead letters."""
    async with asyncio.timeout(60):
        while (
            sum(
                added_headers(letter.headers)["event-id"] == event_id
                for letter in await provider.dead_letters()
            )
            < count
        ):
            pass


async def test_another_key_opens_what_is_replayed_and_what_fails_again_is_a_new_letter(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    refusing = True

    async def answer(_: str, __: str) -> int:
        return 503 if refusing else 200

    def arrived() -> list[int]:
        return [one.answered for one in receiver.arrivals if one.event_id == "acme-1"]

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    lost = parse_public_key((await asyncio.to_thread(generate_private_key, "x25519"))[1])
    at: dict[str, Any] = {"customer_id": "acme", "at": 0.0}
    # The receiver of the test opens what is sealed to its own key, and nothing else.
    await provider.commands.submit(
        AddPublicKey(id=uuid4().hex, kid=lost.kid, alg=lost.alg, jwk=lost.jwk, **at)
    )
    await provider.worker(HOOKSEAL_RETRY_MAX_ATTEMPTS="1", HOOKSEAL_SUSPEND_AFTER="0")
    api = await provider.api()
    await provider.publish("acme", 1)
    await letters_of(provider, "acme-1", 1)
    assert arrived() == []

    # The newest key seals: the one that the customer still has is made the newest.
    own = public_key()
    await api.do("DELETE", f"/v1/tenants/acme/public-keys/{own.kid}")
    await api.do("POST", "/v1/tenants/acme/public-keys", {"public_key": dict(own.jwk)})
    assert (await replayed(api, "acme", event_type="order.paid"))["replayed"] == 1
    await letters_of(provider, "acme-1", 2)
    assert arrived() == [503]

    refusing = False
    assert (await replayed(api, "acme", event_type="order.paid"))["replayed"] == 1
    await receiver.until(lambda: arrived() == [503, 200])
    page = await api.do("GET", "/v1/tenants/acme/dead-letters?order=oldest&event_type=order.paid")
    assert [item["replayed_at"] is not None for item in page["items"]] == [True, True]
    assert {item["event_id"] for item in page["items"]} == {"acme-1"}


async def test_a_replay_for_an_endpoint_that_was_removed_is_a_dead_letter_again(
    provider: Provider,
) -> None:
    await provider.tenant("acme", f"http://127.0.0.1:{closed_port()}/in")
    await provider.worker(HOOKSEAL_RETRY_MAX_ATTEMPTS="1", HOOKSEAL_SUSPEND_AFTER="0")
    api = await provider.api()
    await provider.publish("acme", 1)
    await provider.dead_letters_reach(1)
    await api.do("DELETE", "/v1/tenants/acme/endpoints/ep_1")

    assert (await replayed(api, "acme"))["replayed"] == 1

    await provider.dead_letters_reach(2)
    assert (await provider.reasons())["acme-1"] == "endpoint_removed"


async def test_the_delivery_log_has_each_attempt_and_nothing_of_the_payload(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, event_id: str) -> int:
        return 503 if not receiver.arrivals else 200

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme") + "?token=secret")
    await provider.tenant("other")
    await provider.worker(HOOKSEAL_RETRY_DELAYS_S="0.1", HOOKSEAL_SUSPEND_AFTER="0")
    api = await provider.api()
    value = {"type": "order.paid", "id": "evt_1", "data": CANARY}
    where = await provider.raw(b"acme", orjson.dumps(value))
    await receiver.until(lambda: len(receiver.accepted()) == 1)

    async with asyncio.timeout(30):
        while len((found := await api.do("GET", "/v1/tenants/acme/deliveries"))["items"]) < 2:
            pass

    told = [(item["attempt"], item["code"], item["status"]) for item in found["items"]]
    assert told == [(2, "accepted", 200), (1, "http_503", 503)]
    assert {item["event_id"] for item in found["items"]} == {"evt_1"}
    assert {item["kid"] for item in found["items"]} == {public_key().kid}
    by_event = await api.do("GET", "/v1/tenants/acme/deliveries?event_id=evt_1&endpoint_id=ep_1")
    assert by_event == found
    key = (await api.do("POST", "/v1/tenants/other/api-keys", {}))["api_key"]
    assert (await api.ask("GET", "/v1/tenants/acme/deliveries", key=key))[0] == 404
    assert (await api.do("GET", "/v1/tenants/other/deliveries", key=key))["items"] == []

    records = [
        record async for record in read_all(provider.settings.cluster, provider.names.deliveries)
    ]
    assert [record.key for record in records] == [b"acme"] * 2
    assert {record.partition for record in records} == {where.partition}
    assert where.partition == partition_of("acme", PARTITIONS)
    written = b"".join(record.value or b"" for record in records)
    for canary in (CANARY, "token", "127.0.0.1"):
        assert canary.encode() not in written


async def test_a_letter_is_shown_with_the_attempts_before_it(
    provider: Provider, tmp_path: Path
) -> None:
    await provider.tenant("acme", f"http://127.0.0.1:{closed_port()}/in")
    await provider.worker(HOOKSEAL_RETRY_DELAYS_S="0.1,0.1", HOOKSEAL_SUSPEND_AFTER="0")
    value = {"type": "order.paid", "id": "evt_1", "data": CANARY}
    where = await provider.raw(b"acme", orjson.dumps(value))
    await provider.dead_letters_reach(1)

    async def shown() -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            str(BIN / "hookseal"),
            "dead-letters",
            "show",
            f"{where.partition}/0",
            "--json",
            env={**os.environ, **provider.env, "HOOKSEAL_DATA_DIR": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert CANARY.encode() not in out
        document: dict[str, Any] = orjson.loads(out)
        return document

    # The log is written a moment after the letter.
    async with asyncio.timeout(30):
        while len((letter := await shown())["history"]) < 3:
            pass

    history = [(one["attempt"], one["code"]) for one in letter["history"]]
    assert history == [(number, "connection_refused") for number in (1, 2, 3)]
    assert (letter["reason"], letter["category"]) == ("attempts_exhausted", "receiver")


async def test_without_the_delivery_log_nothing_is_written_to_it(provider: Provider) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    worker = await provider.worker(HOOKSEAL_DELIVERY_LOG="false")
    await provider.publish("acme", 1)
    await receiver.until(lambda: receiver.accepted() == ["acme-1"])

    worker.terminate()
    assert await worker.ended() == 0

    assert [
        record async for record in read_all(provider.settings.cluster, provider.names.deliveries)
    ] == []
