from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

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


def test_who_keeps_its_connection_open_holds_nobody(case: Case) -> None:
    with socket.create_connection(("127.0.0.1", case.probes.port)):
        assert case.ask("/healthz")[0] == 200
