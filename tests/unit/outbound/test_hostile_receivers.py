from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import AttemptError
from tests import hostile
from tests.hostile import CHUNKED, OK, receiving
from tests.outbound import PATIENCE_S, TIMEOUT_S, a_request, a_transport

if TYPE_CHECKING:
    from tests.hostile import Script

BODY_MAX = 1_048_576
MEMORY_MAX_BYTES = 4 * 1_048_576

CUT_OFF: dict[str, Script] = {
    "headers one byte at a time": hostile.slow_headers(),
    "a body one byte at a time": hostile.slow_body(),
    "no answer": hostile.silent(),
    "half a status line": hostile.silent(b"HTTP/1.1 20"),
    "half a body": hostile.silent(OK + b"content-length: 9\r\n\r\nhalf"),
}
OUTCOMES: dict[str, tuple[Script, str]] = {
    "an endless body": (hostile.endless_body(), "response_too_large"),
    "endless chunks": (hostile.endless_chunks(), "response_too_large"),
    "chunks of one byte": (hostile.tiny_chunks(), "response_too_large"),
    "an endless chunk extension": (hostile.endless_chunk_extension(), "response_too_large"),
    "endless space before a value": (hostile.endless_space(), "response_too_large"),
    "endless empty lines": (hostile.endless_empty_lines(), "response_too_large"),
    "endless interim answers": (hostile.endless_interim_answers(), "response_invalid"),
    "nine interim answers": (
        hostile.answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9 + hostile.ACCEPTED),
        "response_invalid",
    ),
    "20,000 headers": (hostile.twenty_thousand_headers(), "response_invalid"),
    "a huge status line": (hostile.huge_status_line(), "response_invalid"),
    "a huge header": (hostile.endlessly(OK + b"x-a: ", b"x" * 9000), "response_invalid"),
    "a body shorter than announced": (
        hostile.answering(OK + b"content-length: 10\r\n\r\nshort"),
        "response_invalid",
    ),
    "two lengths": (
        hostile.answering(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        "response_invalid",
    ),
    "a length and chunks": (
        hostile.answering(OK + b"content-length: 1\r\n" + CHUNKED + b"0\r\n\r\n"),
        "response_invalid",
    ),
    "a malformed chunk": (
        hostile.in_two_packets(OK + CHUNKED + b"1\r\nx\r\n", b"zz\r\n"),
        "response_invalid",
    ),
    "300 trailers": (
        hostile.in_two_packets(OK + CHUNKED + b"1\r\nx\r\n", b"0\r\n" + b"x: y\r\n" * 300),
        "response_invalid",
    ),
    "no HTTP at all": (hostile.answering(b"220 mail.example.com ESMTP\r\n"), "response_invalid"),
    "a switch of protocols": (
        hostile.answering(b"HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nhello"),
        "response_invalid",
    ),
    "status 099": (hostile.answering(b"HTTP/1.1 099 X\r\n\r\n"), "response_invalid"),
    "status 600": (hostile.answering(b"HTTP/1.1 600 X\r\n\r\n"), "response_invalid"),
    "a close without an answer": (hostile.answering(), "connection_reset"),
    "a reset without an answer": (hostile.resetting(), "connection_reset"),
    "a reset in the head": (hostile.resetting(OK + b"x-a"), "connection_reset"),
    "a reset in the body": (
        hostile.resetting(OK + b"content-length: 10\r\n\r\nhalf"),
        "connection_reset",
    ),
}


class TestHostileReceivers:
    @pytest.mark.parametrize("name", CUT_OFF)
    async def test_a_slow_receiver_is_cut_off_at_the_timeout(self, name: str) -> None:
        async with receiving(CUT_OFF[name]) as receiver, a_transport() as transport:
            attempt = transport.post(a_request(receiver.url(), timeout_s=TIMEOUT_S))
            with pytest.raises(AttemptError) as caught:
                # It goes on for ever, if it is let.
                await asyncio.wait_for(attempt, PATIENCE_S)

        assert caught.value.code == "timeout"

    @pytest.mark.parametrize("name", OUTCOMES)
    async def test_whoever_answers_nonsense_is_not_waited_for(self, name: str) -> None:
        script, code = OUTCOMES[name]
        async with receiving(script) as receiver, a_transport() as transport:
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request(receiver.url()))

        assert caught.value.code == code

    @pytest.mark.parametrize("name", [*CUT_OFF, *OUTCOMES])
    async def test_the_connection_is_closed_and_the_next_attempt_starts_afresh(
        self, name: str
    ) -> None:
        script = CUT_OFF[name] if name in CUT_OFF else OUTCOMES[name][0]
        async with receiving(script) as receiver, a_transport() as transport:
            async with asyncio.timeout(PATIENCE_S):
                # On a busy machine an attempt may time out before it is connected.
                while receiver.connections < 2:
                    with pytest.raises(AttemptError):
                        await transport.post(a_request(receiver.url(), timeout_s=0.05))
                await receiver.closed_by_sender.wait()

        # One for each attempt. The receiver may count one late that timed out in connecting.
        assert receiver.connections >= 2

    @pytest.mark.parametrize(
        "script",
        [
            hostile.endless_body(),
            hostile.endless_chunks(),
            hostile.endless_space(),
            hostile.endless_interim_answers(),
            hostile.gzip_bomb(),
        ],
        ids=["body", "chunks", "space", "interim answers", "gzip bomb"],
    )
    async def test_memory_stays_bounded(self, script: Script) -> None:
        async with receiving(script, keep_alive=True) as receiver, a_transport() as transport:
            tracemalloc.start()
            try:
                for _ in range(3):
                    await asyncio.gather(
                        transport.post(a_request(receiver.url())), return_exceptions=True
                    )
                peak_bytes = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert len(receiver.requests) == 3
        assert peak_bytes < MEMORY_MAX_BYTES

    async def test_a_gzip_bomb_is_never_unpacked(self) -> None:
        async with receiving(hostile.gzip_bomb()) as receiver, a_transport() as transport:
            answer = await transport.post(a_request(receiver.url()))

        assert answer.status == 200

    @pytest.mark.parametrize(("size", "code"), [(BODY_MAX, "200"), (BODY_MAX + 1, "too_large")])
    async def test_a_body_may_have_one_mebibyte(self, size: int, code: str) -> None:
        script = hostile.answering(OK + b"content-length: %d\r\n\r\n" % size, bytes(size))
        async with receiving(script) as receiver, a_transport() as transport:
            outcome = await asyncio.gather(
                transport.post(a_request(receiver.url())), return_exceptions=True
            )

        assert code in str(outcome[0])

    async def test_a_slow_receiver_does_not_delay_its_neighbour(self) -> None:
        async with (
            receiving(hostile.endless_interim_answers()) as flooding,
            receiving(hostile.slow_body()) as slow,
            receiving(hostile.answering(hostile.ACCEPTED)) as healthy,
            a_transport() as transport,
        ):
            bad = [
                asyncio.create_task(transport.post(a_request(receiver.url(), timeout_s=TIMEOUT_S)))
                for receiver in (slow, flooding) * 10
            ]
            good = await transport.post(a_request(healthy.url()))
            all_waited = [task.done() for task in bad]
            await asyncio.gather(*bad, return_exceptions=True)

        assert good.status == 200
        assert not all(all_waited)

    async def test_a_late_second_answer_is_not_taken_for_that_of_the_next_request(self) -> None:
        stale = b"HTTP/1.1 204 Stale\r\n\r\n"
        script = hostile.in_two_packets(hostile.ACCEPTED, stale)
        async with (
            receiving(script, keep_alive=True) as receiver,
            a_transport(idle_s=60) as transport,
        ):
            first = await transport.post(a_request(receiver.url()))
            await asyncio.wait_for(receiver.closed_by_sender.wait(), PATIENCE_S)
            second = await transport.post(a_request(receiver.url()))

        assert (first.status, second.status) == (200, 200)
        assert receiver.connections == 2

    async def test_the_limits_hold_for_each_answer_of_a_connection_anew(self) -> None:
        body = bytes(BODY_MAX // 2)
        script = hostile.answering(
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5,
            OK + b"content-length: %d\r\n\r\n" % len(body),
            body,
        )
        async with receiving(script, keep_alive=True) as receiver, a_transport() as transport:
            answers = [await transport.post(a_request(receiver.url())) for _ in range(4)]

        assert {answer.status for answer in answers} == {200}
        assert receiver.connections == 1
