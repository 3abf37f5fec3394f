from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hookseal.cli.settings import page, rows
from hookseal.config import Settings

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_documented_settings_are_those_that_there_are() -> None:
    assert DOCUMENT.read_text() == page(), (
        "write it anew: `hookseal settings --markdown > docs/settings.md`"
    )


def test_every_setting_has_a_row_with_its_meaning() -> None:
    table = {row[0]: row for row in rows()}

    assert len(table) == len(Settings.model_fields)
    assert all(row[4] for row in table.values())
    assert table["HOOKSEAL_RETRY_JITTER"][1:4] == ("number", "0.2", "≥ 0, < 1")
    assert table["HOOKSEAL_STORE"][1:3] == ("memory, rocksdb", "memory")


def test_the_command_prints_the_page(run: Run) -> None:
    assert run("settings", "--markdown").stdout == page()


def test_the_command_prints_a_plain_table_where_there_is_no_terminal(run: Run) -> None:
    lines = run("settings").stdout.splitlines()

    assert len(lines) == len(Settings.model_fields) + 1
    assert lines[0].split() == ["setting", "kind", "default", "bounds", "meaning"]
