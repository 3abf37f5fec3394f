from __future__ import annotations

import json
import logging
import subprocess
import sys

from hookseal.telemetry.repeated_lines import RepeatedLines

STORM = """
import logging, logging.config
from hookseal.telemetry.logs import logging_config

logging.config.dictConfig(logging_config("INFO", "json"))
for node in range(500):
    logging.getLogger("aiokafka.client").error("Unable to request metadata from %s", node)
    logging.getLogger("faust.transport").warning("No coordinator")
    logging.getLogger("hookseal.kafka").warning("own line")
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def line(
    message: str, *args: object, name: str = "aiokafka", level: int = logging.ERROR
) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def test_a_library_writes_one_line_for_each_kind_of_error() -> None:
    run = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, check=True)
    written = [json.loads(text)["event"] for text in run.stderr.splitlines()]

    assert written.count("Unable to request metadata from 0") == 1
    assert written.count("No coordinator") == 1
    assert written.count("own line") == 500
    assert len(written) == 502


def test_after_a_minute_a_line_tells_how_many_were_dropped() -> None:
    clock = Clock()
    repeated = RepeatedLines(clock=clock)
    passed = [repeated.filter(line("node %s", number)) for number in range(4)]
    clock.now += 60
    next_line = line("node %s", 7)

    assert passed == [True, False, False, False]
    assert repeated.filter(next_line)
    assert next_line.getMessage() == "node 7 (3 more since the last such line)"


def test_lines_below_a_warning_pass() -> None:
    repeated = RepeatedLines(clock=Clock())

    assert all(repeated.filter(line("ready", level=logging.INFO)) for _ in range(3))


def test_the_number_of_lines_is_bounded_even_if_each_has_its_own_text() -> None:
    repeated = RepeatedLines(clock=Clock())

    passed = sum(repeated.filter(line(f"failed with {number}")) for number in range(5000))

    assert passed == 1001
