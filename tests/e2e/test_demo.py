"""`hookseal demo`, as somebody would run it first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

COMMAND = (
    *(str(Path(sys.executable).with_name("hookseal")), "demo"),
    *("--events", "120", "--seed", "7"),
)


def an_environment(folder: Path) -> dict[str, str]:
    """Return an environment without our settings and with this folder for what is temporary."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKSEAL_")}
    return {**kept, "TMPDIR": str(folder)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("demo")
    process = subprocess.run(
        [*COMMAND, "--json"],
        env=an_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert list(folder.iterdir()) == []
    return process


@pytest.fixture(scope="module")
def summary(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run.stdout)
    return document


class TestDemo:
    def test_every_claim_holds(self, summary: dict[str, Any]) -> None:
        assert {claim["code"]: claim["holds"] for claim in summary["claims"]} == {
            "accounted": True,
            "ordered": True,
            "opened": True,
            "untouched": True,
            "isolated": True,
        }

    def test_published_is_accepted_and_dead_lettered(self, summary: dict[str, Any]) -> None:
        assert summary["published"] == 120
        for tenant in summary["tenants"]:
            assert tenant["published"] == tenant["accepted"] + tenant["dead_lettered"] > 0

    def test_whoever_is_down_gets_nothing_and_loses_nothing(self, summary: dict[str, Any]) -> None:
        (down,) = [one for one in summary["tenants"] if one["receiver"] == "down"]

        assert (down["accepted"], down["dead_lettered"]) == (0, down["published"])
        assert down["retried"] == 2 * down["published"]

    def test_whoever_fails_now_and_then_gets_everything(self, summary: dict[str, Any]) -> None:
        (flaky,) = [one for one in summary["tenants"] if one["receiver"] == "some 503s"]

        assert flaky["accepted"] == flaky["published"]
        assert flaky["retried"] > 0

    def test_both_workers_worked(self, summary: dict[str, Any]) -> None:
        held = [worker["partitions"] for worker in summary["workers"]]

        assert len(held) == 2
        assert sorted(held[0] + held[1]) == list(range(6))
        assert all(worker["attempts"] > 0 for worker in summary["workers"])

    def test_a_sealed_request_is_shown_beside_what_was_in_it(self, summary: dict[str, Any]) -> None:
        sealed = summary["sealed"]

        assert set(sealed["body"]) == {"protected", "encrypted_key", "iv", "ciphertext", "tag"}
        assert json.loads(sealed["opened"])["customer_id"] == sealed["customer_id"]

    def test_a_dead_letter_is_shown_with_its_headers(self, summary: dict[str, Any]) -> None:
        headers = summary["dead_letter"]["headers"]

        assert headers["reason"] == "attempts_exhausted"
        assert headers["attempts"] == "3"
        assert json.loads(summary["dead_letter"]["value"])["id"] == headers["event-id"]

    def test_progress_is_told_line_by_line_where_there_is_no_terminal(
        self, run: subprocess.CompletedProcess[str]
    ) -> None:
        assert "workers share the partitions" in run.stderr
        assert "published 120, accepted" in run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        COMMAND,
        env=an_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        lines = iter(demo.stderr)
        _until("workers share the partitions", lines)
        children = psutil.Process(demo.pid).children(recursive=True)

        demo.send_signal(number)

        told = "".join(lines)
        assert demo.wait() == 130, told
    assert len(children) == 3, "a broker and two workers"
    assert not any(child.is_running() for child in children)
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def _until(text: str, lines: Iterator[str]) -> None:
    for line in lines:
        if text in line:
            return
    pytest.fail(f"{text!r} never came")
