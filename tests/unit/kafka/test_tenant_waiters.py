from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hookseal.tenants.index import TenantWaiters
from tests.builders import a_tenant

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

PATIENCE_S = 10.0


def is_third(tenant: Tenant | None) -> bool:
    return tenant is not None and tenant.revision == 3


def is_gone(tenant: Tenant | None) -> bool:
    return tenant is None


class TestTenantWaiters:
    async def test_every_state_is_told_however_quickly_another_follows(self) -> None:
        waiters = TenantWaiters()
        waiting = asyncio.create_task(waiters.wait("acme", is_third, timeout_s=PATIENCE_S))
        await asyncio.sleep(0)

        for revision in range(1, 100):
            waiters.notify("acme", a_tenant("acme", revision=revision))
        waiters.notify("acme", None)

        held = await waiting
        assert held is not None
        assert held.revision == 3

    async def test_only_those_are_asked_whom_it_concerns(self) -> None:
        waiters = TenantWaiters()
        asked: list[str] = []

        def notes(name: str) -> bool:
            asked.append(name)
            return name == "acme"

        acme = asyncio.create_task(
            waiters.wait("acme", lambda _: notes("acme"), timeout_s=PATIENCE_S)
        )
        other = asyncio.create_task(
            waiters.wait("other", lambda _: notes("other"), timeout_s=PATIENCE_S)
        )
        await asyncio.sleep(0)

        waiters.notify("acme", None)

        assert await acme is None
        assert asked == ["acme"]
        assert list(waiters) == ["other"]
        other.cancel()
        await asyncio.wait((other,))
        assert len(waiters) == 0

    async def test_whoever_gives_up_leaves_nothing_behind(self) -> None:
        waiters = TenantWaiters()
        patient = asyncio.create_task(waiters.wait("acme", is_gone, timeout_s=PATIENCE_S))

        with pytest.raises(TimeoutError):
            await waiters.wait("acme", is_gone, timeout_s=0)

        assert len(waiters) == 1
        waiters.notify("acme", None)
        assert await patient is None
        assert (len(waiters), list(waiters)) == (0, [])

    async def test_a_question_that_fails_fails_for_its_asker_alone(self) -> None:
        waiters = TenantWaiters()
        faulty = asyncio.create_task(
            waiters.wait("acme", lambda _: bool(1 // 0), timeout_s=PATIENCE_S)
        )
        sound = asyncio.create_task(waiters.wait("acme", is_gone, timeout_s=PATIENCE_S))
        await asyncio.sleep(0)

        waiters.notify("acme", None)

        with pytest.raises(ZeroDivisionError):
            await faulty
        assert await sound is None
