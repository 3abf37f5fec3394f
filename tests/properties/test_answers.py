from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookseal.delivery.ports import Answer
from hookseal.errors import AttemptError
from tests.hostile import answering, receiving
from tests.outbound import a_request, a_transport

CODES = {
    "connection_reset",
    "response_invalid",
    "response_too_large",
    "timeout",
}

pieces = st.one_of(
    st.sampled_from(
        [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 500 No\r\n", b"HTTP/1.1 103 Hint\r\n", b"\r\n",
         b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n", b"content-length: 3\r\n",
         b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"connection: close\r\n",
         b"content-encoding: gzip\r\n", b"retry-after: 1\r\n", b"set-cookie: a\xff=b\r\n",
         b"location: //[::1\r\n", b"abc", b"ffffffffffffffffff\r\n", b"x: \0\r\n"]
    ),
    st.binary(max_size=6),
)  # fmt: skip
packets = st.lists(st.lists(pieces, max_size=8).map(b"".join), max_size=3)


async def outcome_of(script: list[bytes]) -> Answer | BaseException:
    async with receiving(answering(*script)) as receiver, a_transport() as transport:
        results = await asyncio.gather(
            transport.post(a_request(receiver.url(), timeout_s=0.5)), return_exceptions=True
        )
    return results[0]


class TestAnswers:
    # Two sockets and a session for each example: few of them, and no deadline.
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(packets)
    def test_any_bytes_are_an_answer_or_a_failed_attempt(self, script: list[bytes]) -> None:
        outcome = asyncio.run(outcome_of(script))

        if isinstance(outcome, Answer):
            assert 200 <= outcome.status <= 599
        else:
            assert isinstance(outcome, AttemptError)
            assert outcome.code in CODES
