from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# Where a package is in the repository, and where in a copy of the tree.
PACKAGES = {
    **{name: name for name in ("hookseal", "agents", "streams", "benchmarks", "tests/brokers")},
    "receiver/hookseal_receiver": "hookseal_receiver",
}

VIOLATIONS = {
    "a layer above": ("hookseal/errors.py", "import agents.deliver", "One way only"),
    "a layer above inside hookseal": (
        "hookseal/delivery/ordering/partition.py",
        "import hookseal.kafka.producer",
        "Inside hookseal",
    ),
    "a package without a place": ("hookseal/stray.py", "", "Inside hookseal"),
    "the benchmarks in the product": (
        "hookseal/kafka/topics.py",
        "import benchmarks.scenario",
        "Nothing that ships",
    ),
    "a broker of the tests in the product": (
        "streams/topology.py",
        "import tests.brokers.apache",
        "Nothing that ships",
    ),
    "the benchmarks in a broker of the tests": (
        "tests/brokers/apache.py",
        "import benchmarks.process",
        "The brokers of the tests",
    ),
    "an adapter in an agent": ("agents/deliver.py", "import hookseal.outbound.client", "Agents"),
    "Faust outside of the streams": (
        "hookseal/kafka/topics.py",
        "import faust",
        "Only the streams",
    ),
    "a clock in the rules": ("hookseal/domain/backoff.py", "import time", "The rules are pure"),
    "the sender in the receiver": (
        "hookseal_receiver/webhook.py",
        "import hookseal.seal.sign",
        "The receiver shares no code",
    ),
    "the receiver in the sender": (
        "hookseal/seal/request.py",
        "import hookseal_receiver.webhook",
        "The sender knows the receiver only",
    ),
    "glue in the receiver's core": (
        "hookseal_receiver/webhook.py",
        "import hookseal_receiver.aiohttp",
        "Inside the receiver",
    ),
}


def contracts_broken(tree: Path) -> str:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if run.returncode == 0 else run.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package, copy in PACKAGES.items():
        shutil.copytree(
            REPOSITORY / package,
            tmp_path / copy,
            ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
        )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_as_it_is_keeps_the_contracts(tree: Path) -> None:
    assert contracts_broken(tree) == ""


@pytest.mark.parametrize(("module", "line", "contract"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_contract_breaks_when_it_is_broken(
    tree: Path, module: str, line: str, contract: str
) -> None:
    file = tree / module
    text = file.read_text() if file.exists() else '"""Stray."""\n'
    file.write_text(f"{text}\n{line}\n")

    report = contracts_broken(tree)

    assert f"{contract}" in report
    assert "BROKEN" in report


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_escapes_the_contracts(package: str) -> None:
    """import-linter passes over a folder without `__init__.py`, and over all that is in it."""
    folders = {file.parent for file in (REPOSITORY / package).rglob("*.py")}

    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
