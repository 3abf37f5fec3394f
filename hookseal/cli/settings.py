"""`hookseal settings`: list every setting, from its declaration in `hookseal.config`."""

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from hookseal.cli import ui

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

_COLUMNS = ("setting", "kind", "default", "bounds", "meaning")
# By the names of the types.
_KINDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
    "SecretStr": "secret",
}
# By the names of annotated_types.
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


def settings(
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print `docs/settings.md`.")] = False,
) -> None:
    """List every setting with its type, default, bounds and meaning."""
    if markdown:
        ui.out.file.write(page())
    else:
        ui.table(_COLUMNS, rows())


def rows() -> list[tuple[str, ...]]:
    """Return a row for each setting, in the order of declaration."""
    from hookseal.config import Settings

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
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    for name, kind, default, bounds, meaning in rows():
        code = f"`{default}`" if default else ""
        lines.append(_line((f"`{name}`", kind, code, bounds, meaning)))
    return _INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def _line(cells: "Iterable[str]") -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(get_args(annotation))
    if origin is UnionType:
        return _kind(next(part for part in get_args(annotation) if part is not NoneType))
    return "list" if origin is tuple else _KINDS[annotation.__name__]


def _default(value: object) -> str:
    if value is None or value == () or type(value).__name__ == "SecretStr":
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(field: "FieldInfo") -> str:
    return ", ".join(
        text.format(limit)
        for bound in field.metadata
        for name, text in _BOUNDS.items()
        if (limit := getattr(bound, name, None)) is not None
    )
