"""The settings as a table, read off their declaration."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import SecretStr

from hookseal.config import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["COLUMNS", "page", "rows"]

COLUMNS = ("setting", "kind", "default", "bounds", "meaning")

_KINDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret",
}
# As annotated_types names them.
_BOUNDS = {
    "gt": "> {}",
    "ge": "≥ {}",
    "lt": "< {}",
    "le": "≤ {}",
    "max_length": "at most {} characters",
}
_INTRODUCTION = """\
# Settings

Environment variables of the worker and of every command. This page is generated:
`hookseal settings --markdown > docs/settings.md`. A number whose name ends in `_S` is in
seconds, one that ends in `_BYTES` in bytes.
"""


def rows() -> list[tuple[str, ...]]:
    """Return a row for each setting, in the order of their declaration."""
    return [
        (
            f"HOOKSEAL_{name.upper()}",
            _kind(field.annotation),
            _default(field.default),
            _bounds(field),
            " ".join((field.description or "").split()),
        )
        for name, field in Settings.model_fields.items()
    ]


def page() -> str:
    """Return `docs/settings.md`."""
    lines = [
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
        *(
            _line([_code(name), kind, _code(default), bounds, meaning])
            for name, kind, default, bounds, meaning in rows()
        ),
    ]
    return f"{_INTRODUCTION}\n{chr(10).join(lines)}\n"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    if get_origin(annotation) is UnionType:
        inner = [part for part in get_args(annotation) if part is not NoneType]
        return _kind(inner[0])
    if get_origin(annotation) is tuple:
        return "list"
    return _KINDS[annotation]


def _default(value: object) -> str:
    if value is None or value == () or isinstance(value, SecretStr):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(field: FieldInfo) -> str:
    return ", ".join(
        text.format(limit)
        for bound in field.metadata
        for name, text in _BOUNDS.items()
        if (limit := getattr(bound, name, None)) is not None
    )
