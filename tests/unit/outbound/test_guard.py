# ruff: noqa: RUF001 - lookalikes are what is tested
from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from hookseal.errors import AttemptError, BlockedAddressError, HooksealError
from hookseal.outbound.guard import (
    EgressPolicy,
    GuardedResolver,
    RefusedAddressError,
    socket_factory,
)
from tests import hostile
from tests.conditions import until
from tests.hostile import ACCEPTED, Receiver, a_closed_port, receiving
from tests.nameserver import naming
from tests.outbound import (
    ANY_PORT,
    LOOPBACK,
    OPEN,
    STRICT,
    TIMEOUT_S,
    a_request,
    a_transport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.outbound.client import HttpTransport

PUBLIC = "93.184.215.14"
CANARY = "127.0.0.1"
# One of each range, with the port left for the canary's.
REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
ALLOWED = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:1.1.1.1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450::1",
    "3ffe::1",
]


class FixedResolver(AbstractResolver):
    """Answers to any name with these addresses, as they are."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily | int = 0
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def a_canary(*, other_than: int = 0) -> AsyncIterator[Receiver]:
    """Listen on all of loopback; on leaving, be sure that every connection was counted."""
    async with receiving(
        hostile.answering(ACCEPTED), hosts=(CANARY, "::1"), other_than=other_than
    ) as canary:
        yield canary
        # Connections are accepted in order: once these two are counted, all before are.
        before = canary.connections
        for host in (CANARY, "::1"):
            _, writer = await asyncio.open_connection(host, canary.port)
            writer.close()
            await writer.wait_closed()
        await until(lambda: canary.connections == before + 2)
        canary.connections -= 2


async def refusal_of(transport: HttpTransport, url: str) -> HooksealError:
    with pytest.raises(HooksealError) as caught:
        await transport.post(a_request(url))
    return caught.value


class TestJudge:
    @pytest.mark.parametrize("address", REFUSED)
    def test_refuses_what_is_not_public(self, address: str) -> None:
        assert STRICT.judge(address, 443) is not None

    @pytest.mark.parametrize("address", ALLOWED)
    def test_allows_what_is_public(self, address: str) -> None:
        assert STRICT.judge(address, 443) is None

    @pytest.mark.parametrize(
        "text",
        ["", "localhost", "example.com", "127.1", "0x7f000001", "2130706433", "010.0.0.1",
         "1.1.1.1 ", "[2606:4700::1111]", "2606:4700::1111%1", "fe80::1%lo", "1.1.1.1%0"],
    )  # fmt: skip
    def test_refuses_what_is_no_plain_address(self, text: str) -> None:
        assert STRICT.judge(text, 443) is not None

    def test_names_the_range(self) -> None:
        assert STRICT.judge("169.254.169.254", 443) == "169.254.0.0/16 (link-local)"
        assert STRICT.judge("::ffff:10.0.0.1", 443) == "10.0.0.0/8 (private)"
        assert STRICT.judge("fd00:ec2::254", 443) == "fc00::/7 (unique local)"

    @pytest.mark.parametrize(
        ("address", "allowed"),
        [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.0", False), ("::1", True),
         ("127.0.0.1", False), ("fd00::1", False)],
    )  # fmt: skip
    def test_an_allowed_network_goes_before_the_list(self, address: str, *, allowed: bool) -> None:
        policy = EgressPolicy((ip_network("10.1.0.0/16"), ip_network("::1/128")))

        assert (policy.judge(address, 443) is None) == allowed

    @pytest.mark.parametrize(
        "address", ["1.2.3.4", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4", "2606:4700::1"]
    )
    def test_a_denied_network_goes_before_all(self, address: str) -> None:
        denied = (ip_network("1.2.3.0/24"), ip_network("2606:4700::/32"))
        everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
        policy = EgressPolicy(allow_cidrs=everything, deny_cidrs=denied)

        assert "(denied)" in (policy.judge(address, 443) or "")
        assert policy.judge("1.2.4.1", 443) is None

    def test_whoever_allows_nat64_has_the_address_within_it_judged(self) -> None:
        policy = EgressPolicy((ip_network("64:ff9b::/96"),))

        assert policy.judge("64:ff9b::1.1.1.1", 443) is None
        assert policy.judge("64:ff9b::10.0.0.1", 443) == "10.0.0.0/8 (private)"

    @pytest.mark.parametrize(
        ("policy", "ports"),
        [
            (EgressPolicy(), {443, 8443}),
            (EgressPolicy(allow_http=True), {80, 443, 8443}),
            (EgressPolicy(allow_ports=((8080, 8080), (9000, 9002))),
             {443, 8080, 8443, 9000, 9001, 9002}),
        ],
    )  # fmt: skip
    def test_allows_these_ports_and_no_others(self, policy: EgressPolicy, ports: set[int]) -> None:
        near = {port + step for port in ports for step in (-1, 0, 1)} | {0, 1, 22, 6379, 65_535}

        assert {port for port in near if policy.judge("1.1.1.1", port) is None} == ports


class TestLiterals:
    async def test_the_canary_is_reached_where_the_policy_allows_it(self) -> None:
        async with a_canary() as canary, a_transport(OPEN) as transport:
            for host in (CANARY, "[::1]"):
                answer = await transport.post(a_request(canary.url(host=host)))
                assert answer.status == 200

        assert canary.connections == 2

    @pytest.mark.parametrize("address", REFUSED)
    async def test_no_socket_is_made_for_a_refused_address(self, address: str) -> None:
        host = f"[{address}]" if ":" in address else address
        blocked: list[tuple[str, int, str]] = []
        async with (
            a_canary() as canary,
            a_transport(STRICT, on_blocked=lambda *what: blocked.append(what)) as transport,
        ):
            refusal = await refusal_of(transport, canary.url(host=host))

        assert isinstance(refusal, BlockedAddressError)
        assert [port for _, port, _ in blocked] == [canary.port]
        assert canary.connections == 0

    @pytest.mark.parametrize(
        "host",
        ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1",
         "user:pw@127.0.0.1", "@127.0.0.1", "2130706433", "127.1", "0177.0.0.1", "0",
         "127.0.0.1.", "0x7f000001", "0x7f.0.0.1", "localhost", "LOCALHOST.",
         "%31%32%37.0.0.1", "127.0.0.1%00.example.com"],
    )  # fmt: skip
    async def test_no_spelling_of_loopback_reaches_it(self, host: str) -> None:
        async with (
            a_canary() as canary,
            naming() as server,
            a_transport(STRICT, make_resolver=server.resolver) as transport,
        ):
            refusal = await refusal_of(transport, canary.url(host=host))

        assert refusal.code in {"blocked_address", "request_invalid", "dns_failed"}
        assert canary.connections == 0

    @pytest.mark.parametrize("host", ["0x7f000001", "0x7f.0.0.1", "localhost"])
    async def test_nor_does_one_that_only_the_system_resolver_knows(self, host: str) -> None:
        async with (
            a_canary() as canary,
            a_transport(STRICT, make_resolver=ThreadedResolver) as transport,
        ):
            refusal = await refusal_of(transport, canary.url(host=host))

        assert refusal.code == "blocked_address"
        assert canary.connections == 0

    @pytest.mark.parametrize("port", [22, 25, 80, 6379, 9092])
    async def test_a_port_of_another_service_is_refused(self, port: int) -> None:
        policy = EgressPolicy(allow_cidrs=OPEN.allow_cidrs)
        async with a_transport(policy) as transport:
            refusal = await refusal_of(transport, f"https://{CANARY}:{port}/")

        assert refusal.code == "blocked_address"


class TestNames:
    @pytest.mark.parametrize(
        "addresses",
        [
            [CANARY],
            ["::1"],
            [CANARY, "::1"],
            ["10.0.0.1", "192.168.0.1", CANARY],
            ["::ffff:127.0.0.1"],
            ["64:ff9b::7f00:1"],
            ["2002:7f00:1::1", CANARY],
        ],
        ids=str,
    )
    async def test_a_name_for_refused_addresses_is_a_blocked_address(
        self, addresses: list[str]
    ) -> None:
        blocked: list[str] = []
        async with (
            a_canary() as canary,
            naming(inside_example_com=addresses) as server,
            a_transport(
                STRICT,
                make_resolver=server.resolver,
                on_blocked=lambda address, *_: blocked.append(address),
            ) as transport,
        ):
            refusal = await refusal_of(transport, canary.url(host="inside.example.com"))

        assert isinstance(refusal, BlockedAddressError)
        # The operator hears of each address once.
        assert sorted(blocked) == sorted(addresses)
        assert canary.connections == 0

    async def test_a_name_that_turns_inward_is_refused_at_its_next_connection(self) -> None:
        answers = {1: ["127.0.0.2"], 2: [CANARY]}
        # 127.0.0.2 plays the public address; the canary stands where nothing may be dialled.
        policy = EgressPolicy((ip_network("127.0.0.2/32"),), allow_http=True, allow_ports=ANY_PORT)
        async with (
            receiving(hostile.answering(ACCEPTED), hosts=("127.0.0.2",)) as outside,
            # Another port is another name to the DNS cache, as an expired entry is.
            a_canary(other_than=outside.port) as canary,
            naming() as server,
        ):
            server.zone["turncoat.example.com"] = lambda question: answers[min(question, 2)]
            async with a_transport(policy, make_resolver=server.resolver) as transport:
                first = await transport.post(a_request(outside.url(host="turncoat.example.com")))
                refusal = await refusal_of(transport, canary.url(host="turncoat.example.com"))

        assert first.status == 200
        assert refusal.code == "blocked_address"
        assert (len(outside.requests), canary.connections) == (1, 0)

    @pytest.mark.parametrize("order", [1, -1])
    async def test_a_mixed_answer_ends_as_its_allowed_address_does(self, order: int) -> None:
        # Dead-lettered at once, or retried: that must not hang on the order of an answer.
        policy = EgressPolicy((ip_network("127.0.0.2/32"),), allow_http=True, allow_ports=ANY_PORT)
        async with a_canary() as canary, naming(mixed_example_com=[]) as server:
            server.zone["mixed.example.com"] = lambda _: [CANARY, "127.0.0.2", "10.0.0.1"][::order]
            async with a_transport(policy, make_resolver=server.resolver) as transport:
                refusal = await refusal_of(transport, canary.url(host="mixed.example.com"))

        assert refusal.code == "connection_refused"
        assert canary.connections == 0

    async def test_a_mixed_answer_is_delivered_to_its_allowed_address(self) -> None:
        policy = EgressPolicy((ip_network("127.0.0.2/32"),), allow_http=True, allow_ports=ANY_PORT)
        async with (
            receiving(hostile.answering(ACCEPTED), hosts=("127.0.0.2",)) as outside,
            naming(mixed_example_com=["10.0.0.1", "127.0.0.2", "::1"]) as server,
            a_transport(policy, make_resolver=server.resolver) as transport,
        ):
            answer = await transport.post(a_request(outside.url(host="mixed.example.com")))

        assert answer.status == 200

    async def test_a_resolver_that_answers_with_a_name_is_refused(self) -> None:
        resolver = FixedResolver("localhost")

        async with a_canary() as canary, a_transport(STRICT, make_resolver=lambda: resolver) as one:
            refusal = await refusal_of(one, canary.url(host="hooks.example.com"))

        assert refusal.code == "blocked_address"
        assert canary.connections == 0

    async def test_of_a_thousand_addresses_a_handful_is_dialled(self) -> None:
        resolver = FixedResolver(
            *(f"127.0.{number // 250}.{number % 250 + 1}" for number in range(1000))
        )
        judged = []

        class Counting(EgressPolicy):
            def judge(self, address: str, port: int) -> str | None:
                judged.append(address)
                return super().judge(address, port)

        policy = Counting(allow_cidrs=LOOPBACK, allow_http=True, allow_ports=ANY_PORT)
        with a_closed_port() as port:
            async with a_transport(policy, make_resolver=lambda: resolver) as transport:
                refusal = await refusal_of(transport, f"http://hooks.example.com:{port}/")

        assert refusal.code == "connection_refused"
        # Each when it is resolved; then eight are dialled, then all but the first, and so on.
        assert len(judged) == 1000 + sum(range(1, 9))

    async def test_where_there_are_both_families_some_of_both_are_dialled(self) -> None:
        sixes = [f"2600:9000::{number}" for number in range(1, 9)]
        resolver = FixedResolver(*sixes, "93.184.215.14", "93.184.215.15")

        found = await GuardedResolver(resolver, EgressPolicy(), lambda *_: None).resolve(
            "hooks.example.com", 443
        )

        assert [address["host"] for address in found] == [
            "2600:9000::1",
            "93.184.215.14",
            "2600:9000::2",
            "93.184.215.15",
            *(f"2600:9000::{number}" for number in range(3, 7)),
        ]


class TestTheText:
    async def test_of_a_refusal_is_the_same_for_every_address_open_or_not(self) -> None:
        texts = set()
        async with a_canary() as canary, a_transport(STRICT) as transport:
            for url in (
                canary.url(),
                canary.url(host="10.0.0.1"),
                canary.url(host="[fd00:ec2::254]"),
                f"http://{CANARY}:1/",
            ):
                refusal = await refusal_of(transport, url)
                texts.add((refusal.code, str(refusal), repr(refusal)))

        assert len(texts) == 1
        assert not any("127" in part or "10." in part for text in texts for part in text)

    async def test_is_constant_for_aiohappyeyeballs_keeps_the_class_only_then(self) -> None:
        refusals = [RefusedAddressError(), RefusedAddressError()]

        assert len({str(refusal) for refusal in refusals}) == 1
        assert {refusal.errno for refusal in refusals} == {None}

    async def test_several_refused_addresses_stay_refused_without_our_resolver(self) -> None:
        async with naming(inside_example_com=[CANARY, "10.0.0.1", "::1"]) as server:
            connector = aiohttp.TCPConnector(
                resolver=server.resolver(), socket_factory=socket_factory(STRICT, lambda *_: None)
            )
            async with aiohttp.ClientSession(connector=connector) as session:
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.post("http://inside.example.com:9000/")

        assert isinstance(caught.value.os_error, RefusedAddressError)


class TestSlowNames:
    async def test_fifty_slow_names_do_not_delay_a_healthy_neighbour(self) -> None:
        async with (
            receiving(hostile.answering(ACCEPTED)) as healthy,
            naming(healthy_example_com=[CANARY]) as server,
            a_transport(OPEN, make_resolver=server.resolver) as transport,
        ):
            server.silent_under = "slow.example.com"
            slow = [
                asyncio.create_task(
                    transport.post(
                        a_request(f"http://n{number}.slow.example.com/", timeout_s=TIMEOUT_S)
                    )
                )
                for number in range(50)
            ]
            await until(lambda: len(server.questions) == 50)
            answer = await transport.post(a_request(healthy.url(host="healthy.example.com")))
            still_slow = [not task.done() for task in slow]
            errors = await asyncio.gather(*slow, return_exceptions=True)

        assert answer.status == 200
        assert all(still_slow)
        assert {error.code for error in errors if isinstance(error, AttemptError)} == {"timeout"}
