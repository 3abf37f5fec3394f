"""Writes the pages of reference that are generated: `python docs/site/reference.py`.

A test holds the pages to it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from hookseal.api.factory import ApiParts, operations_of
from hookseal.api.operations import Access

__all__ = ["PAGES"]

DOCS = Path(__file__).parents[1]


def commands() -> str:
    """Return the page of the command line, as Typer tells of it."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "hookseal.cli.app", "utils", "docs", "--name", "hookseal"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    body = made.partition("\n")[2].strip()
    return f"# Command line\n\nThis page is generated: `python docs/site/reference.py`.\n\n{body}\n"


def operations() -> str:
    """Return the page of the API's operations, read off their declaration."""
    # What they stand on is not asked for: nothing is carried out.
    nothing = cast("Any", None)
    names = ApiParts.__dataclass_fields__
    parts = ApiParts(**dict.fromkeys(names, nothing))
    lines = [
        "# Operations",
        "",
        "All that the HTTP API can do. This page is generated: `python docs/site/reference.py`.",
        "Rules, codes and examples are in [HTTP API](api.md); every member of every body is in the",
        "reference that a running API serves at `/docs`, and in its `/openapi.json`.",
    ]
    tag = ""
    for operation in operations_of(parts):
        if operation.tag != tag:
            tag = operation.tag
            lines += [
                "",
                f"## {tag}",
                "",
                "| | operation | who | scope | success |",
                "|---|---|---|---|---|",
            ]
        who = {
            Access.PUBLIC: "anybody",
            Access.ADMIN: "the operator",
            Access.TENANT: "the tenant, the operator",
            Access.ANY: "a tenant, the operator",
        }[operation.access]
        scope = f"`{operation.scope}`" if operation.scope else ""
        lines.append(
            f"| `{operation.method} {operation.path}` | {operation.summary} | {who} | {scope} | "
            f"{operation.status.value} |"
        )
    return "\n".join(lines) + "\n"


PAGES = {"cli.md": commands, "operations-of-the-api.md": operations}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
