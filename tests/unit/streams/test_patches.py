"""Each patch of Faust says what it is for, and docs/faust.md lists it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PATCHES = sorted(
    file
    for file in (REPOSITORY / "streams" / "faust_patches").glob("*.py")
    if file.name != "__init__.py"
)


@pytest.mark.parametrize("file", PATCHES, ids=lambda file: file.stem)
def test_a_patch_says_what_it_is_for(file: Path) -> None:
    said = ast.get_docstring(ast.parse(file.read_text())) or ""

    for part in ("Symptom:", "Patches:", "Test:", "Drop when:"):
        assert f"\n{part} " in said


def test_the_index_lists_each_patch() -> None:
    index = (REPOSITORY / "docs" / "faust.md").read_text()

    assert [file.name for file in PATCHES if f"`{file.name}`" not in index] == []
