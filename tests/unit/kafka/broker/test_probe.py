from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError
from hookseal.kafka.broker import bootstrap
from hookseal.kafka.broker.ports import HOST, accepts, free_ports, node_ids, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def a_server_that_says(answer: bytes) -> Iterator[str]:
    """Serve one connection after another: read a little, answer, hang up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(4096):
                    connection.sendall(answer)

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\4\0\0\0\1",
        b"\0\0\0\x20\0\0\0\1" + b"\xff" * 28,
        b"\xff\xff\xff\xff",
    ],
    ids=["nothing", "half a size", "HTTP", "no body", "garbage", "a negative size"],
)
def test_what_is_no_kafka_broker_knows_no_nodes(answer: bytes) -> None:
    with a_server_that_says(answer) as address:
        assert node_ids(address) == frozenset()


def test_where_nothing_listens_there_are_no_nodes() -> None:
    (port,) = free_ports(1)

    assert node_ids(f"{HOST}:{port}") == frozenset()
    assert not accepts(f"{HOST}:{port}")


def test_a_metadata_answer_is_read() -> None:
    # MetadataResponse version 1: correlation id; two brokers (id, host, port, rack);
    # controller id; no topics.
    body = (
        b"\0\0\0\1"
        b"\0\0\0\2"
        b"\0\0\0\7\0\1a\0\0\x23\x84\xff\xff"
        b"\0\0\0\x09\0\1b\0\0\x23\x84\xff\xff"
        b"\0\0\0\7"
        b"\0\0\0\0"
    )
    with a_server_that_says(len(body).to_bytes(4, "big") + body) as address:
        assert node_ids(address) == {7, 9}


def test_a_condition_that_never_holds_is_given_up() -> None:
    assert not wait_until(lambda: False, 0.05)


def test_a_condition_is_asked_again() -> None:
    answers = iter([False, False, True])

    assert wait_until(lambda: next(answers), 10)


class TestBootstrap:
    def test_a_cluster_that_does_not_answer_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (port,) = free_ports(1)
        monkeypatch.setenv("HOOKSEAL_KAFKA_BOOTSTRAP", f"{HOST}:{port}")

        with pytest.raises(BrokerError) as caught:
            bootstrap.start(timeout_s=0.05)

        assert caught.value.code == "broker_unreachable"
        assert f"{HOST}:{port}" in caught.value.message

    def test_a_cluster_behind_a_login_is_only_dialled(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with a_server_that_says(b"") as address:
            monkeypatch.setenv("HOOKSEAL_KAFKA_BOOTSTRAP", f"{HOST}:1,{address}")
            monkeypatch.setenv("HOOKSEAL_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")

            broker = bootstrap.start(timeout_s=5)

        assert (broker.kind, broker.bootstrap) == ("bootstrap", f"{HOST}:1,{address}")
        assert broker.settings == {"HOOKSEAL_KAFKA_BOOTSTRAP": broker.bootstrap}
