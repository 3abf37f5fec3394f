"""What the guide for tenants and the README say of the receiver is what there is."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import typer
from aiohttp.test_utils import TestClient, TestServer

from hookseal_receiver import Bounds
from hookseal_receiver.cli.app import app
from hookseal_receiver.errors import Reason
from hookseal_receiver.webhook import MAX_BODY_BYTES
from tests.glue import call_asgi
from tests.receiving import EVENT, SECRET, a_request
from tests.sealed import vectors
from tests.unit.test_docs import README, RECEIVING, REPOSITORY, blocks_in, code_with

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = REPOSITORY / "receiver" / "hookseal_receiver"
LEVELS = {"exception": "error"}


def first_cells(heading: str, number: int = 0) -> list[tuple[str, ...]]:
    """Return the cells in backticks, and those after them, of a table below a heading."""
    part = RECEIVING.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    tables = re.split(r"^\|---.*\n", part, flags=re.MULTILINE)[1:]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", tables[number], re.MULTILINE)
    return [(name, cell.strip()) for name, cell in rows]


class TestTables:
    def test_every_reason_has_its_row(self) -> None:
        assert tuple(name for name, _ in first_cells("What is checked")) == get_args(Reason)

    def test_every_reason_is_given_somewhere(self) -> None:
        sources = "".join(file.read_text() for file in PACKAGE.rglob("*.py"))

        for reason in get_args(Reason):
            assert sources.count(f'"{reason}"') > 1, reason

    def test_every_log_line_has_its_row(self) -> None:
        said = re.findall(
            r"_log\.(\w+)\(\s*\"(webhook\.\w+)", (PACKAGE / "handling.py").read_text()
        )

        assert sorted(first_cells("What is checked", 1)) == sorted(
            (name, LEVELS.get(level, level)) for level, name in said
        )

    def test_the_numbers_are_those_in_force(self) -> None:
        page, bounds = RECEIVING.read_text(), Bounds()

        assert f"`max_body_bytes`, {MAX_BODY_BYTES // 1024} KiB by default" in page
        assert f"{bounds.max_entries:,} events and seven days" in page
        assert bounds.max_age_s == 7 * 24 * 3600
        assert f"a lease of {bounds.lease_s:.0f} s" in page


def commands() -> Iterator[list[str]]:
    text = RECEIVING.read_text()
    for command in re.findall(r"(?:^|`)hookseal-receiver (.+?)(?:`|$)", text, re.MULTILINE):
        words = shlex.split(re.split(r" [<>] ", command)[0])
        # Alone it is the name of a command.
        yield words if len(words) > 1 or words == ["keygen"] else [*words, "--help"]


def test_every_command_is_one_of_ours() -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("hookseal-receiver", ["listen"])

    found = []
    for words in commands():
        name, command, rest = group.resolve_command(context, words)
        if rest != ["--help"]:
            command.make_context(name, rest, parent=context, resilient_parsing="--key" not in rest)
        found.append(name)

    assert found.count("keygen") == 2
    assert found.count("listen") == 2


@pytest.fixture
def _a_tenants_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the private key where the pages look for it."""
    monkeypatch.chdir(tmp_path)
    for name in ("acme.pem", "private.pem"):
        Path(name).write_bytes(vectors()["x25519"].private_key)


def run(code: str) -> dict[str, Any]:
    """Run a block of code with a real secret; return its names."""
    assert '"whsec_…"' in code
    names: dict[str, Any] = {}
    exec(code.replace("whsec_…", SECRET), names)  # noqa: S102 - the code of our own pages
    return names


@pytest.mark.usefixtures("_a_tenants_folder")
class TestCode:
    async def test_of_the_readme_receives(self, capsys: pytest.CaptureFixture[str]) -> None:
        (code,) = blocks_in(README, "python")
        hooks = run(code)["hooks"]

        answers = [(await call_asgi(hooks, *a_request())).status for _ in range(2)]

        assert answers == [204, 204]
        assert capsys.readouterr().out == f"evt_1 order.paid {EVENT['data']}\n"

    async def test_of_the_guide_receives(self, capsys: pytest.CaptureFixture[str]) -> None:
        served = run(code_with("sealed_webhooks", "python"))["app"]
        headers, body = a_request()

        async with TestClient(TestServer(served)) as client:
            statuses = [
                (await client.post("/hooks", headers=headers, data=body)).status for _ in range(2)
            ]

        assert statuses == [204, 204]
        assert capsys.readouterr().out == f"evt_1 order.paid acme {EVENT['data']}\n"

    def test_of_the_package_opens(self) -> None:
        (code,) = blocks_in(REPOSITORY / "receiver" / "README.md", "python")
        headers, body = a_request()

        names: dict[str, Any] = {"headers": headers, "body": body}
        exec(code.replace("whsec_…", SECRET), names)  # noqa: S102 - the code of our own page

        assert names["event"].data == EVENT["data"]


class TestPackage:
    def test_needs_nothing_of_the_sender(self) -> None:
        wanted = importlib.metadata.requires("hookseal-receiver") or []
        always = {re.split(r"[><=;\[ ]", one)[0] for one in wanted if "extra ==" not in one}

        assert always == {"cryptography", "joserfc", "standardwebhooks"}

    def test_has_all_it_needs_in_the_providers_lock(self) -> None:
        # It is installed beside hookseal without its dependencies, which come from there.
        locked = re.findall(
            r"^([\w-]+)(?:\[.*\])?==", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE
        )
        wanted = importlib.metadata.requires("hookseal-receiver") or []

        assert {re.split(r"[><=;\[ ]", one)[0] for one in wanted} <= set(locked)

    def test_imports_no_framework_unless_it_is_used(self) -> None:
        program = (
            "import sys, hookseal_receiver, hookseal_receiver.asgi, hookseal_receiver.wsgi;"
            "print([n for n in ('hookseal', 'aiohttp', 'typer', 'flask', 'starlette')"
            " if n in sys.modules])"
        )

        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

        assert done.stdout == b"[]\n"

    def test_says_what_is_missing_for_its_commands(self, tmp_path: Path) -> None:
        (tmp_path / "typer.py").write_text("raise ImportError(name='typer')\n")

        done = subprocess.run(
            [sys.executable, "-c", "from hookseal_receiver.cli import main; main()"],
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        assert done.stderr.startswith("extra_missing (cli): typer is missing; install ")
