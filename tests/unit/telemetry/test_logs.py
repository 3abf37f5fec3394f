"""The lines that a worker writes, as whatever collects them reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

LINES = """
import logging, logging.config, structlog
from hookseal.telemetry.logs import logger, logging_config

logging.config.dictConfig(logging_config({level!r}, "json"))
ours = structlog.stdlib.get_logger("hookseal.worker")
ours.debug("delivery.retry_scheduled", partition=1)
ours.info("delivery.attempted", customer_id="käufer", attempt=1, duration_s=0.25, status=None)
ours.bind(worker=3).info("delivery.%s", "traced")
logger("hookseal.api").info("api.asked")
wrapped = structlog.wrap_logger(
    logging.getLogger("hookseal.kafka"), wrapper_class=structlog.stdlib.BoundLogger
)
wrapped.warning("tenants.unauthenticated_record", offset=7)
wrapped.debug("registry.read")
logging.getLogger("aiokafka").info("chatter")
logging.getLogger("aiokafka").warning("trouble with %s", "a broker")
try:
    1 / 0
except ZeroDivisionError as error:
    ours.error("delivery.internal_error", exc_info=error)
"""


def lines(level: str) -> list[dict[str, Any]]:
    program = LINES.format(level=level)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in run.stderr.splitlines()]


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, Any]]:
    return {line["event"]: line for line in lines("INFO")}


def test_each_line_is_json_with_a_level_a_logger_and_a_time(
    said: dict[str, dict[str, Any]],
) -> None:
    line = said["delivery.attempted"]

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "delivery.attempted",
        "level": "info",
        "logger": "hookseal.worker",
        "customer_id": "käufer",
        "attempt": 1,
        "duration_s": 0.25,
        "status": None,
    }


def test_what_is_bound_and_what_is_filled_in_is_in_the_line(
    said: dict[str, dict[str, Any]],
) -> None:
    assert said["delivery.traced"]["worker"] == 3
    assert said["delivery.traced"]["level"] == "info"


def test_lines_of_libraries_look_alike(said: dict[str, dict[str, Any]]) -> None:
    assert said["api.asked"]["logger"] == "hookseal.api"
    assert said["tenants.unauthenticated_record"]["offset"] == 7
    assert said["tenants.unauthenticated_record"]["logger"] == "hookseal.kafka"
    assert said["trouble with a broker"]["level"] == "warning"
    assert set(said["trouble with a broker"]) == {"event", "level", "logger", "timestamp"}


def test_what_is_less_severe_is_left_out(said: dict[str, dict[str, Any]]) -> None:
    assert "delivery.retry_scheduled" not in said
    assert "registry.read" not in said
    assert "chatter" not in said
    assert [
        line["event"] for line in lines("ERROR") if line["logger"].startswith("hookseal.w")
    ] == ["delivery.internal_error"]


def test_a_crash_shows_where_it_happened(said: dict[str, dict[str, Any]]) -> None:
    assert "ZeroDivisionError" in said["delivery.internal_error"]["exception"]
    assert "exc_info" not in said["delivery.internal_error"]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_crash_shows_no_locals_in_any_format(log_format: str) -> None:
    program = f"""
import logging, logging.config, structlog
from hookseal.telemetry.logs import logger, logging_config
logging.config.dictConfig(logging_config("INFO", {log_format!r}))
def crash():
    payload = "".join(["can", "ary"])
    raise ValueError
for log in (structlog.stdlib.get_logger("hookseal.worker"), logger("hookseal.api"),
            logging.getLogger("faust"), logging.getLogger("asyncio")):
    try:
        crash()
    except ValueError:
        log.exception("crashed")
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert run.stderr.count("ValueError") >= 4
    assert "canary" not in run.stderr
