"""Traces: from the producer's span to the receiver's, read back from a collector."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hookseal.seal.sign import SigningSecrets
from tests.builders import MASTER_KEY, private_key
from tests.collector import Collector
from tests.e2e.conftest import closed_port
from tests.e2e.customer import Customer
from tests.e2e.local import Local, local_env
from tests.e2e.process import REPOSITORY, Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.conftest import Provider

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
EXAMPLE = REPOSITORY / "receiver" / "examples" / "python" / "traced_receiver.py"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as running:
        yield running


@pytest.mark.broker
@pytest.mark.apache
@pytest.mark.timeout(120)
async def test_a_trace_goes_from_the_producer_to_the_receiver_s_own_span(
    provider: Provider, collector: Collector, tmp_path: Path
) -> None:
    key_file = tmp_path / "private.pem"
    key_file.write_bytes(
        private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    port = closed_port()
    receiver = await Process(
        "receiver",
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "SIGNING_SECRETS": SigningSecrets(MASTER_KEY).show("acme", "ep_1", 1),
            "PRIVATE_KEYS": str(key_file),
            "SEEN": str(tmp_path / "seen.db"),
            "PORT": str(port),
        },
        tmp_path,
        sys.executable,
        str(EXAMPLE),
    ).start()
    try:
        await provider.tenant("acme", f"http://127.0.0.1:{port}/hooks")
        await provider.publish("acme", 1, ("traceparent", PARENT.encode()))
        await provider.publish("acme", 2)
        await provider.worker(HOOKSEAL_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="100")
        await collector.until(
            lambda: (
                sum(span.name == "receive" for span in collector.spans) == 2
                and len([span for span in collector.spans if span.name == "hookseal.deliver"]) == 2
            )
        )
    finally:
        await receiver.stop()

    (wait,) = collector.named("hookseal.wait", TRACE)
    (deliver,) = collector.named("hookseal.deliver", TRACE)
    (attempt,) = collector.named("hookseal.attempt", TRACE)
    (seal,) = collector.named("hookseal.seal", TRACE)
    (receive,) = collector.named("receive", TRACE)
    assert [wait.parent_id, deliver.parent_id] == [SPAN, SPAN]
    assert attempt.parent_id == deliver.span_id
    assert [seal.parent_id, receive.parent_id] == [attempt.span_id] * 2
    assert (deliver.service, receive.service) == ("hookseal-worker", "receiver")
    assert wait.end_ns == deliver.start_ns <= attempt.start_ns <= seal.start_ns
    assert seal.end_ns <= receive.start_ns <= receive.end_ns <= attempt.end_ns <= deliver.end_ns
    assert deliver.attributes["messaging.message.id"] == "acme-1"
    assert deliver.attributes["hookseal.outcome"] == "accepted"
    assert attempt.attributes["http.response.status_code"] in (200, 204)
    assert not any(span.is_error for span in collector.spans)
    # Whoever brings no context begins a trace of its own.
    others = {span.trace_id for span in collector.spans} - {TRACE}
    assert len(others) == 1


async def start(env: dict[str, str], folder: Path, stack: AsyncExitStack) -> tuple[Local, Customer]:
    local = await Local("local", {**local_env("memory://"), **env}, folder).start()
    stack.push_async_callback(local.stop)
    await local.ready()
    acme = await stack.enter_async_context(Customer(local, "acme"))
    await acme.subscribe()
    await acme.add_key()
    await acme.add_endpoint("*")
    return local, acme


def an_event(number: int) -> dict[str, Any]:
    return {"customer_id": "acme", "type": "a.b", "id": f"e{number}", "data": number}


async def test_what_the_api_takes_is_a_part_of_its_client_s_trace(
    collector: Collector, tmp_path: Path
) -> None:
    env = {
        "HOOKSEAL_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "HOOKSEAL_RETRY_DELAYS_S": "0.01",
        "HOOKSEAL_SUSPEND_AFTER": "0",
    }
    async with AsyncExitStack() as stack:
        local, acme = await start(env, tmp_path, stack)
        acme.status = 503
        await local.do("POST", "/v1/events", an_event(1), headers={"traceparent": PARENT})
        await collector.until(lambda: bool(collector.named("hookseal.deliver", TRACE)))

    (publish,) = collector.named("hookseal.publish", TRACE)
    (deliver,) = collector.named("hookseal.deliver", TRACE)
    attempts = collector.named("hookseal.attempt", TRACE)
    assert publish.parent_id == SPAN
    assert deliver.parent_id == publish.span_id
    assert [one.parent_id for one in attempts] == [deliver.span_id] * 2
    assert [one.attributes["hookseal.attempt"] for one in attempts] == [1, 2]
    assert all(one.is_error and one.attributes["error.type"] == "http_503" for one in attempts)
    assert (deliver.is_error, deliver.attributes["hookseal.outcome"]) == (
        True,
        "attempts_exhausted",
    )


@pytest.mark.parametrize("collector_is_there", [False, True])
async def test_without_a_collector_the_context_is_handed_on_as_it_came(
    collector: Collector, tmp_path: Path, *, collector_is_there: bool
) -> None:
    # Also where one is named that does not answer: deliveries go on.
    env = {"HOOKSEAL_OTLP_ENDPOINT": "http://127.0.0.1:1"} if collector_is_there else {}
    async with AsyncExitStack() as stack:
        local, acme = await start(env, tmp_path, stack)
        for number, came in enumerate((PARENT, "CANARY", None)):
            headers = {} if came is None else {"traceparent": came}
            await local.do("POST", "/v1/events", an_event(number), headers=headers)
        await acme.until(lambda: len(acme.events) == 3)

    found = dict(zip([event.id for event in acme.events], acme.traceparents, strict=True))
    if collector_is_there:
        assert (found["e0"] or "").split("-")[1] == TRACE
    else:
        assert found == {"e0": PARENT, "e1": None, "e2": None}
