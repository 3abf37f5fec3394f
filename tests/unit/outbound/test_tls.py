from __future__ import annotations

import asyncio
import os
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import AttemptError
from hookseal.outbound.client import with_client_certificate
from hookseal.outbound.guard import EgressPolicy
from tests import hostile
from tests.certificates import self_signed, the_authority
from tests.hostile import ACCEPTED, Receiver, hanging_up, receiving
from tests.nameserver import naming
from tests.outbound import ANY_PORT, LOOPBACK, a_request, a_transport

if TYPE_CHECKING:
    from pathlib import Path

HOST = "hooks.example.com"
HTTPS_ONLY = EgressPolicy(allow_cidrs=LOOPBACK, allow_ports=ANY_PORT)


async def attempt(receiver: Receiver, trust: ssl.SSLContext | None) -> int:
    async with (
        naming(hooks_example_com=["127.0.0.1"]) as server,
        a_transport(HTTPS_ONLY, ssl_context=trust, make_resolver=server.resolver) as transport,
    ):
        url = receiver.url(scheme="https", host=HOST)
        return (await transport.post(a_request(url))).status


class TestTls:
    async def test_a_certificate_for_the_host_is_accepted(self) -> None:
        context = the_authority().issue(HOST)
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            status = await attempt(receiver, the_authority().client_context())

        assert status == 200

    @pytest.mark.parametrize("fault", ["expired", "wrong name", "self-signed"])
    async def test_any_other_certificate_is_refused_before_a_byte_is_sent(self, fault: str) -> None:
        context = {
            "expired": lambda: the_authority().issue(HOST, ends_in=-timedelta(days=1)),
            "wrong name": lambda: the_authority().issue("hooks.example.org"),
            "self-signed": lambda: self_signed(HOST),
        }[fault]()
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            with pytest.raises(AttemptError) as caught:
                await attempt(receiver, the_authority().client_context())

        assert caught.value.code == "tls_failed"
        assert receiver.requests == []

    async def test_the_system_does_not_trust_a_strangers_authority(self) -> None:
        context = the_authority().issue(HOST)
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            with pytest.raises(AttemptError) as caught:
                await attempt(receiver, None)

        assert caught.value.code == "tls_failed"

    async def test_whoever_asks_is_shown_the_client_certificate(self, tmp_path: Path) -> None:
        file = the_authority().issue_file("hookseal", tmp_path / "client.pem")
        ours = with_client_certificate(file)
        ours.load_verify_locations(cadata=the_authority().root_pem())
        context = the_authority().issue_asking(HOST)
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            assert await attempt(receiver, ours) == 200

    async def test_whoever_asks_takes_nothing_without_one(self) -> None:
        context = the_authority().issue_asking(HOST)
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            with pytest.raises(AttemptError):
                await attempt(receiver, the_authority().client_context())

        assert receiver.requests == []

    async def test_with_a_client_certificate_receivers_are_checked_as_ever(
        self, tmp_path: Path
    ) -> None:
        file = the_authority().issue_file("hookseal", tmp_path / "client.pem")
        context = the_authority().issue(HOST)
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            with pytest.raises(AttemptError) as caught:
                await attempt(receiver, with_client_certificate(file))

        assert caught.value.code == "tls_failed"
        assert receiver.requests == []

    async def test_an_old_protocol_is_refused(self) -> None:
        context = the_authority().issue(HOST)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.deprecated_call():
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with receiving(hostile.answering(ACCEPTED), tls=context) as receiver:
            with pytest.raises(AttemptError):
                await attempt(receiver, the_authority().client_context())

        assert receiver.requests == []

    async def test_a_receiver_without_tls_is_refused(self) -> None:
        async with hanging_up(b"220 mail.example.com ESMTP\r\n") as port:
            with pytest.raises(AttemptError) as caught:
                await attempt(Receiver(port), the_authority().client_context())

        assert caught.value.code == "tls_failed"

    async def test_a_close_within_the_handshake_is_a_reset(self) -> None:
        async with hanging_up() as port:
            with pytest.raises(AttemptError) as caught:
                await attempt(Receiver(port), the_authority().client_context())

        assert caught.value.code == "connection_reset"

    async def test_a_broken_record_in_place_of_an_answer_is_no_tls(self) -> None:
        async def breaks_the_record(writer: asyncio.StreamWriter) -> None:
            os.write(writer.get_extra_info("socket").fileno(), b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.Event().wait()

        context = the_authority().issue(HOST)
        async with receiving(breaks_the_record, tls=context) as receiver:
            with pytest.raises(AttemptError) as caught:
                await attempt(receiver, the_authority().client_context())

        assert caught.value.code == "tls_failed"
