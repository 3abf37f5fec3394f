"""Texts are in plain English: `tests/dialect.py` has the words that must not come back."""

from __future__ import annotations

import io
import re
import tokenize
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from tests.dialect import DIALECT, found_in
from tests.unit.test_docs import PAGES, REPOSITORY, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Their texts come from the code, where they are checked.
GENERATED = {"docs/cli.md", "docs/settings.md", "docs/operations-of-the-api.md"}
GENERATED_TABLES = {"docs/reference/metrics.md", "docs/reference/dead-letter-reasons.md"}
MODES = {"partition", "customer", "unordered", "sequential"}
TEXTS = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))


def packages() -> Iterator[str]:
    """Yield the folders of shipped code: each package of `hookseal`, and the others as a whole."""
    for file in sorted((REPOSITORY / "hookseal").iterdir()):
        if file.suffix == ".py" or (file / "__init__.py").exists():
            yield f"hookseal/{file.name}"
    yield from ("streams", "agents", "receiver", "docs/site")


def prose_of(page: Path) -> str:
    """Return a page without its code, and without tables that are generated."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    if name_of(page) in GENERATED_TABLES:
        text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    # The mode's name matters in "in the order `customer`"; other code does not.
    return re.sub(r"`([^`]+)`", lambda code: code[0] if code[1] in MODES else "``", text)


def texts_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, string literal and block of comments of a file."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
    wanted = [token for token in tokens if token.type in TEXTS]
    for kind, group in groupby(wanted, key=lambda token: token.type):
        found = list(group)
        if kind == tokenize.COMMENT:
            # A comment's sentence goes on in the next line.
            yield found[0].start[0], " ".join(token.string.lstrip("# ") for token in found)
        else:
            yield from ((token.start[0], token.string) for token in found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_are_in_plain_english(page: Path) -> None:
    if name_of(page) in GENERATED:
        pytest.skip("generated from the code")

    assert found_in(prose_of(page)) == []


@pytest.mark.parametrize("package", list(packages()))
def test_code_is_commented_in_plain_english(package: str) -> None:
    root = REPOSITORY / package
    found = [
        f"{file.relative_to(REPOSITORY)}:{line}: {hit}"
        for file in ([root] if root.is_file() else sorted(root.rglob("*.py")))
        for line, text in texts_of(file)
        for hit in found_in(text)
    ]

    assert found == []


@pytest.mark.parametrize("text", ["The lanes let go of it.", "what is\ngiven up", "Told of."])
def test_the_dialect_is_found(text: str) -> None:
    assert found_in(text)


@pytest.mark.parametrize("text", ["lane.gap", "--set-aside", "`hookseal_lanes`", "a planet"])
def test_names_are_no_dialect(text: str) -> None:
    assert found_in(text) == []


def test_each_phrase_has_a_better_word() -> None:
    assert all(DIALECT.values())
