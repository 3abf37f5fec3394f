from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from streams.probes import Probes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Case:
    def __init__(self) -> None:
        self.reason: str | None = "starting"
        self.probes = Probes("127.0.0.1", 0, lambda: self.reason)

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.probes.port}{path}", timeout=10
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.probes.close()


def test_it_lives_before_it_is_ready(case: Case) -> None:
    assert case.ask("/healthz")[0] == 200
    status, text = case.ask("/readyz")
    assert (status, json.loads(text)) == (503, {"code": "starting"})

    case.reason = None

    assert case.ask("/readyz")[0] == 200


def test_it_tells_its_metrics(case: Case) -> None:
    status, text = case.ask("/metrics")

    assert status == 200
    assert "hookseal_attempts_total" in text


def test_nothing_else_is_there(case: Case) -> None:
    assert case.ask("/")[0] == 404


def test_metrics_come_in_the_format_that_prometheus_asks_for(case: Case) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{case.probes.port}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - it is HTTP
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTTP/1.1\r\nHost:", b"GET /metrics HTTP/1.1\r\n\r\n"]
)
def test_a_flood_of_connections_takes_neither_threads_nor_descriptors(
    case: Case, sent: bytes
) -> None:
    threads = threading.active_count()
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", case.probes.port), timeout=10)
            )
            # The server may have closed it for one that came after it.
            with suppress(OSError):
                client.sendall(sent)

        assert case.ask("/healthz")[0] == 200
        assert threading.active_count() == threads
        open_ = REGISTRY.get_sample_value("hookseal_connections", {"server": "probes"})
        assert open_ is not None
        assert open_ <= 64


def test_it_ends_although_a_client_keeps_its_connection(case: Case) -> None:
    with socket.create_connection(("127.0.0.1", case.probes.port), timeout=10) as client:
        assert case.ask("/healthz")[0] == 200

        case.probes.close()

        assert client.recv(1) == b""
