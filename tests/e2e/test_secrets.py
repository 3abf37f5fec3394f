"""What is kept anywhere after a whole run: no secret, and payloads only where events are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from hookseal.seal.keys import generate_private_key
from tests.brokers.reading import read_all
from tests.builders import MASTER_KEY
from tests.e2e.api import ADMIN_KEY
from tests.e2e.customer import Customer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider
    from tests.e2e.process import Process

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

PAYLOAD = "CANARY-payload-5f3e"
HEADER = "CANARY-header-8a1c"


@pytest.mark.apache
async def test_no_secret_is_kept_and_payloads_stand_only_where_events_do(
    provider: Provider, tmp_path: Path
) -> None:
    worker = await provider.worker(
        HOOKSEAL_STORE="rocksdb", HOOKSEAL_RETRY_DELAYS_S="0.05", HOOKSEAL_LOG_LEVEL="DEBUG"
    )
    api = await provider.api(HOOKSEAL_LOG_LEVEL="DEBUG")
    await worker.ready()
    by_mistake, _ = generate_private_key("p256")

    async with Customer(api, "acme") as acme:
        await acme.subscribe()
        await acme.add_key("x25519")
        endpoint = await acme.add_endpoint("*", headers={"X-Token": HEADER})
        rotated = await acme.do("POST", f"/endpoints/{endpoint}/rotate-secret")
        acme.secrets.append(rotated["signing_secret"])
        second = (await acme.do("POST", "/api-keys"))["api_key"]
        refused, _ = await api.ask(
            "POST",
            "/v1/tenants/acme/public-keys",
            {"public_key": by_mistake.decode()},
            key=second,
        )
        assert refused == 422
        await api.ask("GET", "/v1/tenants/acme", key=f"{second[:-1]}!")
        await api.ask("GET", f"/v1/tenants?key={ADMIN_KEY}", key=None)
        event = {"type": "order.paid", "data": {"secret": PAYLOAD}}
        await api.do("POST", "/v1/events", event, key=second)
        await acme.until(lambda: bool(acme.events))
        acme.status = 500
        await api.do("POST", "/v1/events", event, key=second)
        await provider.dead_letters_reach(1)
    for process in (worker, api):
        process.terminate()
        await process.ended()

    secrets = {
        "admin key": [ADMIN_KEY.encode()],
        "API key": [key.rpartition("_")[2].encode() for key in (acme.api_key, second)],
        "signing secret": [form for secret in acme.secrets for form in forms_of(secret)],
        "private key": [line for pem in (by_mistake, *acme.private_keys) for line in body_of(pem)],
        "master key": [MASTER_KEY, base64.b64encode(MASTER_KEY)],
    }
    everywhere = {
        **await topics(provider),
        **stores(tmp_path),
        "worker's log": log_of(worker),
        "API's log": log_of(api),
    }
    assert len(everywhere) > 6
    assert any(PAYLOAD.encode() in kept for kept in everywhere.values())
    for place, kept in everywhere.items():
        for kind, forms in secrets.items():
            assert not any(form in kept for form in forms), f"{kind} in {place}"
        if not place.endswith((".events", ".dead-letters")):
            assert PAYLOAD.encode() not in kept, place
        assert HEADER.encode() not in kept, place


def forms_of(signing_secret: str) -> list[bytes]:
    text = signing_secret.removeprefix("whsec_")
    return [text.encode(), base64.b64decode(text)]


def body_of(pem: bytes) -> list[bytes]:
    return [line for line in pem.splitlines() if not line.startswith(b"-")]


async def topics(provider: Provider) -> dict[str, bytes]:
    """Return all that stands on our topics, by name."""
    kept: dict[str, bytes] = {}
    for name in provider.names.configs():
        parts: list[bytes] = []
        async for record in read_all(provider.settings.cluster, name):
            headers = [
                part for name, value in record.headers for part in (name.encode(), value or b"")
            ]
            parts += [record.key or b"", record.value or b"", *headers]
        kept[name] = b"\n".join(parts)
    return kept


def stores(folder: Path) -> dict[str, bytes]:
    """Return all files that the processes left, by path."""
    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any("rocksdb" in path or "tables" in path for path in found), list(found)
    return found


def log_of(process: Process) -> bytes:
    return "\n".join(process.lines).encode()
