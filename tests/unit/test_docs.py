"""What the pages say is what there is."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from prometheus_client.metrics import MetricWrapperBase

from hookseal.config import Settings
from hookseal.domain.dead_letter import REASONS, category_of
from hookseal.seal.keys import load_public_key
from hookseal.seal.request import seal_request
from hookseal.telemetry import metrics
from tests.compose import understood
from tests.oracles import NODE_FOLDER, node_opener
from tests.sealed import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
GUARANTEES = DOCS / "guarantees.md"
RECEIVING = DOCS / "receiving.md"
REFERENCE = DOCS / "reference"
PAGES = (
    *(README, REPOSITORY / "CHANGELOG.md", REPOSITORY / "SECURITY.md"),
    REPOSITORY / "receiver" / "README.md",
    REPOSITORY / "tests" / "vectors" / "README.md",
    *sorted(DOCS.rglob("*.md")),
)
# Its commands are generated from the program itself.
GENERATED = DOCS / "cli.md"
SOURCES = ("hookseal", "agents", "streams")
# Of the tests and of tools, not of a worker.
OTHER_SETTINGS = {"HOOKSEAL_TEST_BROKER", "HOOKSEAL_FUZZ_SECONDS", "HOOKSEAL_RENEW_SNAPSHOTS"}

A_TEST = re.compile(r"`(?:(Test\w+)\.)?(test_\w+)`")
A_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
A_FILE = re.compile(r"`([\w/]+\.py)`")
A_SETTING = re.compile(r"HOOKSEAL_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_*])")
A_LOG_LINE = re.compile(r"_?log\.(debug|info|warning|error|critical)\(\s*\"([a-z]+\.[a-z_]+)\"")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    lines = page.read_text().partition(f"\n## {heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    table = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def blocks_in(page: Path, language: str) -> list[str]:
    """Return a page's blocks of code in this language."""
    fenced = rf"^ *```{language}\n(.*?)^ *```$"
    return re.findall(fenced, page.read_text(), re.MULTILINE | re.DOTALL)


def code_with(text: str, language: str) -> str:
    """Return the one block of code in this language, on the guide for tenants, with a text."""
    (block,) = [block for block in blocks_in(RECEIVING, language) if text in block]
    return block


def known_tests() -> set[tuple[str | None, str]]:
    """Return class, if any, and name of each test; each name also without its class."""
    found: set[tuple[str | None, str]] = set()
    for file in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            holder = node.name if isinstance(node, ast.ClassDef) else None
            for item in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    found |= {(holder, item.name), (None, item.name)}
    return found


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield the words of each `hookseal …` line in a page's shell blocks."""
    for block in blocks_in(page, "sh"):
        for line in map(str.strip, block.replace("\\\n", " ").splitlines()):
            if line.startswith("hookseal "):
                yield shlex.split(re.split(r" [<>] ", line)[0], comments=True)[1:]


class TestTables:
    def test_every_reason_has_its_row(self) -> None:
        table = [
            (row[0].strip("`"), row[1], row[2])
            for row in rows(REFERENCE / "dead-letter-reasons.md", "Dead-letter reasons")
        ]

        assert table == [(code, text, category_of(code)) for code, text in REASONS.items()]

    def test_every_metric_has_its_row(self) -> None:
        declared = []
        for metric in vars(metrics).values():
            if not isinstance(metric, MetricWrapperBase):
                continue
            suffix = "_total" if metric._type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            declared.append(
                [f"`{metric._name}{suffix}`", metric._type, labels, metric._documentation]
            )

        assert sorted(rows(REFERENCE / "metrics.md", "Metrics")) == sorted(declared)

    def test_every_log_line_has_its_row(self) -> None:
        said = {
            (f"`{event}`", level)
            for package in SOURCES
            for file in (REPOSITORY / package).rglob("*.py")
            for level, event in A_LOG_LINE.findall(file.read_text())
        }

        assert {(row[0], row[1]) for row in rows(REFERENCE / "log-events.md", "Log")} == said


class TestPages:
    def test_every_test_they_name_exists(self) -> None:
        named = {(holder or None, name) for holder, name in A_TEST.findall(GUARANTEES.read_text())}

        assert len(named) > 150
        assert named - known_tests() == set()

    @pytest.mark.parametrize("page", [page for page in PAGES if page != GUARANTEES], ids=name_of)
    def test_only_the_guarantees_name_tests(self, page: Path) -> None:
        assert A_TEST.findall(page.read_text()) == []

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_every_link_leads_somewhere(self, page: Path) -> None:
        for path, anchor in A_LINK.findall(page.read_text()):
            target = (page.parent / path) if path else page
            assert target.exists(), path
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
                assert anchor in {anchor_of(heading) for heading in headings}

    def test_every_file_of_ours_they_name_exists(self) -> None:
        ours = {
            file.as_posix()
            for folder in (
                "hookseal",
                "agents",
                "streams",
                "receiver",
                "benchmarks",
                "tests",
                "docs",
            )
            for file in (REPOSITORY / folder).rglob("*.py")
        }
        named = {
            (name_of(page), file) for page in PAGES for file in A_FILE.findall(page.read_text())
        }

        missing = {
            (page, file)
            for page, file in named
            if not any(one.endswith(f"/{file}") for one in ours)
        }
        assert len(named) > 50
        assert missing == set()

    def test_every_setting_they_name_exists(self) -> None:
        there_are = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields} | OTHER_SETTINGS
        named = {name for page in PAGES for name in A_SETTING.findall(page.read_text())}

        assert named - there_are == set()

    def test_the_longest_hold_is_the_one_they_tell(self) -> None:
        at_most_s = Settings.model_construct().longest_backoff_s

        for page in (GUARANTEES, DOCS / "concepts" / "ordering.md"):
            assert f"{at_most_s:.0f} s" in page.read_text()


class TestCommands:
    @pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED], ids=name_of)
    def test_every_command_is_one_of_ours(self, page: Path) -> None:
        for words in commands_in(page):
            assert understood(words).startswith("hookseal ")

    def test_of_the_readme_are_the_quick_start(self) -> None:
        parsed = [understood(words) for words in commands_in(README)]

        assert parsed == [
            "hookseal local",
            "hookseal keys generate",
            "hookseal tenants create",
            "hookseal tenants keys add",
            "hookseal tenants endpoints add",
            "hookseal receive",
        ]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_python_with_libraries_alone_opens_a_sealed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, body, event = a_request(tmp_path)
    asked = orjson.dumps([headers, body.decode()]).decode()
    script = tmp_path / "open.py"
    script.write_text(
        f"{code_with('joserfc', 'python')}\nimport sys\nheaders, body = json.load(sys.stdin)\n"
        "print(json.dumps(open_event(headers, body.encode())))\n"
    )
    monkeypatch.setenv("SIGNING_SECRETS", " ".join(vectors()["x25519"].signing_secrets))

    opened = run([sys.executable, str(script)], asked, tmp_path)

    assert orjson.loads(opened) == event


@pytest.mark.node
@pytest.mark.extended
@pytest.mark.slow
def test_node_with_libraries_alone_opens_a_sealed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if node_opener() is None:
        pytest.skip("needs Node and npm")
    headers, body, event = a_request(tmp_path)
    asked = orjson.dumps([headers, body.decode()]).decode()
    (tmp_path / "node_modules").symlink_to(NODE_FOLDER / "node_modules")
    (tmp_path / "open.mjs").write_text(
        f'{code_with("jose", "js")}\nimport {{ text }} from "node:stream/consumers";\n'
        "const asked = JSON.parse(await text(process.stdin));\n"
        "console.log(JSON.stringify(await openEvent(...asked)));\n"
    )
    monkeypatch.setenv("SIGNING_SECRET", vectors()["x25519"].signing_secrets[0])

    opened = run(["node", str(tmp_path / "open.mjs")], asked, tmp_path)

    assert orjson.loads(opened) == event


def a_request(folder: Path) -> tuple[dict[str, str], bytes, dict[str, Any]]:
    """Seal an event now, and leave its private key where the page looks for it."""
    vector = vectors()["x25519"]
    (folder / "acme.pem").write_bytes(vector.private_key)
    event = {"id": "evt_1", "type": "order.paid", "endpoint_id": "ep_1", "data": {"total": 42}}
    headers, body = seal_request(
        plaintext=orjson.dumps(event),
        event_id="evt_1",
        timestamp=int(time.time()),
        key=load_public_key(orjson.dumps(vector.public_jwk)),
        secrets=vector.secrets,
    )
    return headers, body, event


def run(command: list[str], asked: str, folder: Path) -> str:
    done = subprocess.run(
        command, input=asked, cwd=folder, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
