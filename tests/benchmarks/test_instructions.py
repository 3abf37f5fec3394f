"""What parsing, sealing and judging cost, in instructions: the same however busy a machine is.

`instructions.json` has the count of one call of each path, the highest of Python 3.11, 3.12 and
3.13 under valgrind on x86-64. To renew it after a change that is worth its price, write there
what this prints:

    .venv/bin/pytest -p no:randomly -rP tests/benchmarks/test_instructions.py
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.counted import PATHS

# The whole run is some 20 s, most of it the start of Python under valgrind.
pytestmark = pytest.mark.timeout(300)

TIMES = 100
MEASURED: dict[str, int] = json.loads(Path(__file__).with_name("instructions.json").read_bytes())
# From run to run counts differ by less than 1 %. What is interpreted differs by up to 40 %
# between builds and versions of Python; all of them are below this times the highest.
ROOM = 1.3
# Sealing is for the most part OpenSSL's arithmetic on keys, whose counts differ less: by 2 %
# between versions of Python, by 4 % without AVX. With more room than this, a second key made
# on P-256 for each call would pass.
ROOM_FOR_KEYS = 1.1
# Below this share of the bound nothing got faster: the measurement is broken.
FLOOR = 0.1


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return the instructions of one call of each path."""
    dump = tmp_path_factory.mktemp("callgrind") / "dump"
    # One run for all. A dump holds what was counted since the one before, so those written
    # as a path ends hold it alone, without start-up.
    process = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--dump-before=getppid",
            f"--callgrind-out-file={dump}",
            *(sys.executable, "-m", "tests.benchmarks.counted", str(TIMES)),
        ],
        cwd=Path(__file__).parents[2],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    written = [dump.with_name(f"dump.{number}") for number in range(1, 2 * len(PATHS) + 1)]
    # One more, and something else called getppid: the paths would be mixed up.
    assert {*dump.parent.iterdir()} == {dump, *written}
    return {path: total(file) // TIMES for path, file in zip(PATHS, written[1::2], strict=True)}


def environment() -> dict[str, str]:
    """Return ours without what would change the counts."""
    changing = ("PYTHON", "COV", "OPENSSL_", "GLIBC_TUNABLES", "VALGRIND_OPTS", "LD_PRELOAD")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="instructions need valgrind")
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="on other processors OpenSSL takes other instructions"
)
@pytest.mark.parametrize("path", PATHS)
def test_a_path_takes_no_more_instructions_than_it_did(path: str, counts: dict[str, int]) -> None:
    counted = counts[path]
    print(f'  "{path}": {counted},')  # noqa: T201 -- to be written into instructions.json

    bound = MEASURED[path] * (ROOM_FOR_KEYS if path.startswith("seal ") else ROOM)

    assert counted <= bound
    assert counted >= bound * FLOOR


def test_there_is_a_bound_for_each_path_and_no_other() -> None:
    assert list(MEASURED) == list(PATHS)
