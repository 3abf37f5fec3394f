"""The example receivers, in Python and in Node, behind real workers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from hookseal.domain.command import AddPublicKey, RotateSecret
from hookseal.seal.sign import SigningSecrets
from hookseal.tenants.model import TenantsModel
from tests.builders import MASTER_KEY
from tests.e2e.conftest import closed_port
from tests.examples import EXAMPLES, Example, node_is_there
from tests.receiving import kid_of
from tests.sealed import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from hookseal.domain.tenant import Tenant as Document
    from tests.e2e.conftest import Provider
    from tests.e2e.worker import Worker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

OLD, NEW = "x25519", "p256"


@dataclass(frozen=True)
class Tenant:
    """One of the examples, and the tenant that runs it; both have the example's name."""

    name: str
    port: int
    folder: Path

    def running(self, *, keys: Iterable[str], versions: Iterable[int]) -> Example:
        secrets = SigningSecrets(MASTER_KEY)
        return Example(
            self.name,
            port=self.port,
            keys=[vectors()[key].private_key for key in keys],
            secrets=[secrets.show(self.name, "ep_1", version) for version in versions],
            folder=self.folder,
        )


PYTHON = tuple(name for name in EXAMPLES if name != "node")


@pytest.fixture(
    params=[
        pytest.param(PYTHON, id="python"),
        pytest.param(("node",), id="node", marks=pytest.mark.node),
    ]
)
def tenants(request: pytest.FixtureRequest, tmp_path: Path) -> list[Tenant]:
    if "node" in request.param and not node_is_there():
        pytest.skip("needs Node and npm")
    found = [Tenant(name, closed_port(), tmp_path / f"tenant-{name}") for name in request.param]
    for tenant in found:
        tenant.folder.mkdir()
    return found


@asynccontextmanager
async def receivers(
    tenants: list[Tenant], *, keys: Iterable[str], versions: Iterable[int]
) -> AsyncIterator[list[Example]]:
    """Run the receivers of all tenants."""
    async with AsyncExitStack() as stack:
        starting = [
            stack.enter_async_context(tenant.running(keys=keys, versions=versions))
            for tenant in tenants
        ]
        yield list(await asyncio.gather(*starting))


async def delivering_to(provider: Provider, tenants: list[Tenant]) -> Worker:
    for tenant in tenants:
        url = f"http://127.0.0.1:{tenant.port}/hooks"
        await provider.tenant(tenant.name, url, key=vectors()[OLD].public_key)
    return await provider.worker("a")


async def published(
    provider: Provider,
    worker: Worker,
    tenants: list[Tenant],
    examples: list[Example],
    *numbers: int,
) -> None:
    """Publish these events for each tenant, and wait until the last of them is accepted."""
    for number in numbers:
        await asyncio.gather(*(provider.publish(tenant.name, number) for tenant in tenants))
    last = {f"{tenant.name}-{numbers[-1]}" for tenant in tenants}
    # By the worker: a receiver that is ended between its work and its answer gets a repeat.
    await worker.until(lambda: last <= accepted(worker))
    for example in examples:
        await example.until(lambda handled=example.handled: not last.isdisjoint(handled()))  # type: ignore[misc]


def accepted(worker: Worker) -> set[str]:
    attempts = worker.events("delivery.attempted")
    return {attempt["event_id"] for attempt in attempts if attempt["code"] == "accepted"}


async def rotate(provider: Provider, tenants: list[Tenant]) -> None:
    """Have a new key and a new secret for each tenant, and wait until they count."""
    new = vectors()[NEW].public_key
    for tenant in tenants:
        await provider.commands.submit(
            AddPublicKey(
                id=uuid4().hex,
                customer_id=tenant.name,
                at=0.0,
                kid=new.kid,
                alg=new.alg,
                jwk=new.jwk,
            )
        )
    rotations = {tenant.name: uuid4().hex for tenant in tenants}
    async with TenantsModel(provider.settings.cluster, provider.settings.tenant_codec()) as table:
        for name, command in rotations.items():
            await provider.commands.submit(
                RotateSecret(id=command, customer_id=name, at=0.0, endpoint_id="ep_1")
            )
        for name, command in rotations.items():
            await table.changed(name, partial(applied, command), timeout_s=30)


def applied(command: str, tenant: Document | None) -> bool:
    return tenant is not None and tenant.result_of(command) == "ok"


async def test_each_example_opens_drops_a_repeat_and_outlives_a_rotation(
    provider: Provider, tenants: list[Tenant]
) -> None:
    worker = await delivering_to(provider, tenants)

    async with receivers(tenants, keys=[OLD], versions=[1]) as first:
        # Event 0 comes twice: a lane has one delivery at a time, so that once 1 is there
        # its repeat was answered.
        await published(provider, worker, tenants, first, 0, 0, 1)
    async with receivers(tenants, keys=[NEW, OLD], versions=[2, 1]) as second:
        await rotate(provider, tenants)
        await published(provider, worker, tenants, second, 2)
    # The old ones are gone: what comes now can only be sealed to the new key and signed with
    # the new secret.
    async with receivers(tenants, keys=[NEW], versions=[2]) as third:
        await published(provider, worker, tenants, third, 3)

    for number, tenant in enumerate(tenants):
        handled = [run[number].handled() for run in (first, second, third)]
        name = tenant.name
        assert handled == [[f"{name}-0", f"{name}-1"], [f"{name}-2"], [f"{name}-3"]]
    attempts = worker.events("delivery.attempted")
    # Five events, and a notice of the new key, which is sealed to the one before it.
    assert [attempt["code"] for attempt in attempts] == ["accepted"] * 6 * len(tenants)
    notices = [attempt for attempt in attempts if attempt["event_id"].startswith("evt_key_")]
    assert [notice["kid"] for notice in notices] == [kid_of(OLD)] * len(tenants)
    assert await provider.dead_letters() == []


# Node's example keeps it in memory, and says so.
@pytest.mark.parametrize("tenants", [PYTHON], indirect=True, ids=["python"])
async def test_what_was_seen_before_a_restart_is_dropped_after_it(
    provider: Provider, tenants: list[Tenant]
) -> None:
    worker = await delivering_to(provider, tenants)

    async with receivers(tenants, keys=[OLD], versions=[1]) as first:
        await published(provider, worker, tenants, first, 0)
    async with receivers(tenants, keys=[OLD], versions=[1]) as second:
        await published(provider, worker, tenants, second, 0, 1)

    assert [example.handled() for example in second] == [[f"{one.name}-1"] for one in tenants]
