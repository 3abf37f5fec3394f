"""A tenant that grows as far as it may harms nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookseal.domain.conflicts import ENDPOINTS_MAX
from hookseal.domain.tenant import DOCUMENT_MAX_BYTES, RECENT_MAX_BYTES
from tests.brokers.reading import read_all
from tests.e2e.conftest import customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


async def test_it_is_refused_with_a_code_and_others_are_served(provider: Provider) -> None:
    greedy, other = customers(2, partition=1)
    worker, api = await provider.worker(), await provider.api()
    for customer in (greedy, other):
        await api.do("POST", "/v1/tenants", {"customer_id": customer})

    async def add(number: int) -> tuple[int, dict[str, str]]:
        event_types = [f"{number:03}{pattern:03}." + "x" * 240 for pattern in range(100)]
        body = {
            "id": f"ep_{number}",
            "url": "http://127.0.0.1:4444/",
            "event_types": event_types,
        }
        return await api.ask("POST", f"/v1/tenants/{greedy}/endpoints", body)

    answers = [await add(number) for number in range(ENDPOINTS_MAX)]

    made = [answer for status, answer in answers if status == 201]
    refused = [answer for status, answer in answers if status != 201]
    assert {status for status, _ in answers} == {201, 409}
    assert {answer["code"] for answer in refused} == {"tenant_too_large"}
    assert f"{DOCUMENT_MAX_BYTES:,}" in refused[0]["detail"]
    assert 8 <= len(made) <= 12
    # The way back is open, and nobody else noticed.
    await api.do("DELETE", f"/v1/tenants/{greedy}/endpoints/ep_0")
    await api.do("POST", f"/v1/tenants/{greedy}/endpoints/ep_1/rotate-secret")
    assert (await add(60))[0] == 201
    body = {"url": "http://127.0.0.1:4444/", "event_types": ["*"]}
    await api.do("POST", f"/v1/tenants/{other}/endpoints", body)
    assert worker.returncode is None
    sizes = [
        len(record.value or b"")
        async for record in read_all(provider.settings.cluster, provider.names.tenants_changelog)
    ]
    assert max(sizes) <= DOCUMENT_MAX_BYTES + RECENT_MAX_BYTES


@pytest.mark.apache
async def test_what_kafka_refuses_all_the_same_ends_no_worker(provider: Provider) -> None:
    large, other = customers(2, partition=1)
    await provider.limit(provider.names.tenants_changelog, max_message_bytes=8_192)
    worker, api = await provider.worker(), await provider.api()
    for customer in (large, other):
        await api.do("POST", "/v1/tenants", {"customer_id": customer})

    body = {"url": "http://127.0.0.1:4444/", "event_types": ["x" * 250] * 50}
    status, answer = await api.ask("POST", f"/v1/tenants/{large}/endpoints", body)

    assert (status, answer["code"]) == (409, "change_not_stored")
    assert (await api.do("GET", f"/v1/tenants/{large}"))["endpoints"] == []
    for customer in (large, other):
        body = {"url": "http://127.0.0.1:4444/", "event_types": ["*"]}
        await api.do("POST", f"/v1/tenants/{customer}/endpoints", body)
    assert worker.returncode is None
    (told,) = worker.events("tenants.write_refused")
    assert (told["customer_id"], told["error"]) == (large, "MessageSizeTooLargeError")
