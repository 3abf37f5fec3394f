"""The depth of JSON, counted without a parser, against one that counts while it parses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.json_text import MAX_DEPTH, validate
from hookseal.errors import InvalidEventError

# Brackets, quotes and backslashes in strings must not count.
texts = st.text(alphabet='[]{}"\\a\u00e9', max_size=8)
trees = st.recursive(
    st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def wrapped(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {'"\\': value}
    return value


@given(
    tree=trees,
    levels=st.integers(0, 7) | st.integers(MAX_DEPTH - 6, MAX_DEPTH + 3),
    ascii_only=st.booleans(),
)
def test_what_is_nested_too_deeply_is_refused_and_nothing_else(
    *, tree: Any, levels: int, ascii_only: bool
) -> None:
    value = wrapped(tree, levels)
    # Beside it more brackets than levels are allowed, so that they are looked at.
    text = json.dumps([value, *[[]] * MAX_DEPTH], ensure_ascii=ascii_only).encode()

    if depth_of(value) < MAX_DEPTH:
        assert len(validate(text)) == MAX_DEPTH + 1
    else:
        with pytest.raises(InvalidEventError) as refused:
            validate(text)
        assert refused.value.code == "json_too_deep"


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'"' + b"]" * 65])
def test_what_stands_in_a_string_does_not_make_it_deep(end: bytes) -> None:
    text = b'["' + rb"\"[" * 100 + end

    with pytest.raises(InvalidEventError) as refused:
        validate(text)

    assert refused.value.code == "json_invalid"
