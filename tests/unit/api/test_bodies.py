"""The limits of request bodies: size, time, and each principal's share of the memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hookseal.api.app import create_app
from hookseal.api.auth import Authentication
from hookseal.api.events import BATCH_MAX_BYTES
from hookseal.api.factory import build, operations_of
from hookseal.api.problems import Problem
from hookseal.api.request_body import BodyMemory
from hookseal.api.server import HttpServer, listen_tcp
from tests.conditions import until
from tests.unit.api.conftest import ADMIN_KEY, Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KIB = 1024
MIB = 1024 * KIB
MAX = 64 * MIB
EVENT = {"type": "order.paid", "data": {"total": 42}}
PADDED = orjson.dumps([EVENT]) + b" " * (BATCH_MAX_BYTES - 100)


def used_until_refused(memory: BodyMemory, principal: str | None, size: int) -> tuple[int, str]:
    """Return how many bytes a principal gets in pieces of this size, and the refusal's code."""
    used = 0
    while True:
        try:
            memory.reserve(principal, size)
        except Problem as refused:
            return used, refused.document.code
        used += size


def answered(status: str) -> float:
    labels = {"operation": "publishEvents", "status": status}
    return REGISTRY.get_sample_value("hookseal_api_requests_total", labels) or 0.0


class TestShare:
    def test_of_a_principal_that_is_alone_is_half_of_the_shared_memory(self) -> None:
        used, code = used_until_refused(BodyMemory(), "a", 64 * KIB)

        assert (used, code) == (24 * MIB, "body_share_exceeded")

    def test_leaves_a_part_free_for_the_next_principal(self) -> None:
        memory = BodyMemory()
        got = [used_until_refused(memory, str(number), 64 * KIB)[0] for number in range(4)]

        assert got == [24 * MIB, 12 * MIB, 6 * MIB, 3 * MIB]

    @pytest.mark.parametrize("greedy", [1, 16, 200])
    def test_of_a_small_principal_is_64_kib_whatever_others_use(self, greedy: int) -> None:
        memory = BodyMemory()
        for number in range(greedy):
            used_until_refused(memory, str(number), 64 * KIB)

        assert used_until_refused(memory, "small", 16 * KIB)[0] >= 64 * KIB

    def test_the_memory_is_overloaded_only_when_all_of_it_is_used(self) -> None:
        memory = BodyMemory()
        total = sum(used_until_refused(memory, str(n), 64 * KIB)[0] for n in range(1_000))

        assert total == MAX
        assert used_until_refused(memory, "late", 16 * KIB) == (0, "overloaded")

    def test_the_admin_key_is_a_principal_like_a_tenant(self) -> None:
        memory = BodyMemory()

        assert used_until_refused(memory, None, 64 * KIB) == (24 * MIB, "body_share_exceeded")
        assert used_until_refused(memory, "acme", 64 * KIB)[0] == 12 * MIB

    def test_a_refusal_says_the_share_and_when_to_retry(self) -> None:
        memory = BodyMemory()
        used_until_refused(memory, "a", MIB)

        with pytest.raises(Problem) as refused:
            memory.reserve("a", MIB)

        assert refused.value.document.status == 429
        assert "25,165,824" in refused.value.document.detail
        assert int(refused.value.headers["Retry-After"]) > 0

    @given(
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(1, 5 * MIB)), max_size=60
        )
    )
    def test_the_bound_holds_in_whatever_order_bodies_come(
        self, bodies: list[tuple[str | None, int]]
    ) -> None:
        memory, used = BodyMemory(), 0
        for principal, size in bodies:
            try:
                memory.reserve(principal, size)
            except Problem:
                continue
            used += size

        assert used <= MAX


class TestOverHttp:
    async def test_a_tenant_at_its_share_is_refused_and_another_one_is_not(self, api: Api) -> None:
        held, all_held, go_on = 0, asyncio.Event(), asyncio.Event()
        greedy, other = api.tenant("greedy"), api.tenant("other")

        async def hold() -> None:
            nonlocal held
            held += 1
            if held == 6:
                all_held.set()
            if held <= 6:
                await go_on.wait()

        api.events.before_publishing = hold
        asked = [
            asyncio.create_task(api.ask("POST", "/v1/events", data=PADDED, key=greedy))
            for _ in range(6)
        ]
        await all_held.wait()
        refused = await api.problem("POST", "/v1/events", data=PADDED, key=greedy)
        passed = await api.ask("POST", "/v1/events", EVENT, key=other)
        go_on.set()
        statuses = {(await one).status for one in asked}

        assert refused == (429, "body_share_exceeded")
        assert passed.status == 202
        assert statuses == {202}
        assert (await api.ask("POST", "/v1/events", data=PADDED, key=greedy)).status == 202

    async def test_no_route_reads_a_body_when_the_memory_is_used_up(self, api: Api) -> None:
        refused = {
            await self.answer(api, operation.method, operation.path, memory=BodyMemory(max_bytes=0))
            for operation in operations_of(api.parts)
            if operation.takes is not None
        }

        assert refused == {(503, "overloaded")}

    async def test_a_body_that_stops_arriving_is_refused_on_every_route(self, api: Api) -> None:
        refused = {
            await self.answer(
                api, operation.method, operation.path, memory=BodyMemory(timeout_s=0.01)
            )
            for operation in operations_of(api.parts)
            if operation.takes is not None
        }

        assert refused == {(408, "body_too_slow")}

    async def answer(
        self, api: Api, method: str, path: str, *, memory: BodyMemory
    ) -> tuple[int, str]:
        api.tenant("acme")
        never = asyncio.Event()

        async def parts() -> AsyncIterator[bytes]:
            yield b"{"
            await never.wait()

        keys = Authentication(
            model=api.model, api_keys=api.api_keys, admin_key=ADMIN_KEY, clock=api.clock
        )
        app = create_app(operations_of(api.parts), keys, memory=memory)
        path = path.replace("{customer_id}", "acme").replace("{", "").replace("}", "")
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
        async with (
            TestClient(TestServer(app)) as client,
            client.request(method, path, data=parts(), headers=headers) as response,
        ):
            return response.status, (await response.json(content_type=None))["code"]

    async def test_a_client_that_disconnects_is_no_fault_of_the_server(self, api: Api) -> None:
        before, crashed = answered("400"), answered("500")
        sockets = listen_tcp("127.0.0.1", 0)
        # aiohttp's test server would cancel the request.
        async with HttpServer(build(api.parts), sockets, name="api") as server, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %b\r\nContent-Length: 10\r\n"
                b"Expect: 100-continue\r\n\r\n" % ADMIN_KEY.encode()
            )
            # The request is being answered by now.
            assert b"100" in await reader.readline()
            writer.close()
            await writer.wait_closed()
            await until(lambda: answered("400") + answered("500") > before + crashed)

        assert (answered("400"), answered("500")) == (before + 1, crashed)
