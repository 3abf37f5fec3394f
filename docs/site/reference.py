"""Write the generated reference pages and tables: `python docs/site/reference.py`.

A test compares the pages with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from prometheus_client.metrics import MetricWrapperBase

from hookseal.api.factory import ApiParts, operations_of
from hookseal.api.operations import Access
from hookseal.domain.dead_letter import REASONS, category_of
from hookseal.telemetry import metrics

__all__ = ["PAGES"]

DOCS = Path(__file__).parents[1]


def commands() -> str:
    """Return the page of the command line, from Typer."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "hookseal.cli.app", "utils", "docs", "--name", "hookseal"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    body = made.partition("\n")[2].strip()
    return f"# Command line\n\nThis page is generated: `python docs/site/reference.py`.\n\n{body}\n"


def operations() -> str:
    """Return the page of the API's operations, from their declaration."""
    # No operation is called.
    nothing = cast("Any", None)
    names = ApiParts.__dataclass_fields__
    parts = ApiParts(**dict.fromkeys(names, nothing))
    lines = [
        "# Operations of the API",
        "",
        "Every operation of the HTTP API. This page is generated: `python docs/site/reference.py`.",
        "[HTTP API](api.md) has rules, codes and examples. A running API serves the reference of",
        "all bodies at `/docs` and `/openapi.json`.",
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


def with_table(page: str, rows: list[list[str]]) -> str:
    """Return a page with these rows in its first table; the rest of the page stays."""
    before, rule, after = (DOCS / page).read_text().partition("\n|---")
    columns, _, rest = after.partition("\n")
    prose = rest.splitlines(keepends=True)
    while prose and prose[0].startswith("|"):
        prose.pop(0)
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{before}{rule}{columns}\n{table}{''.join(prose)}"


def metric_table() -> str:
    """Return the page of the metrics, with name, kind, labels and meaning of each."""
    rows = []
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        (family,) = metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        # prometheus_client has no public accessor for label names.
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001
        rows.append([f"`{family.name}{suffix}`", family.type, labels, family.documentation])
    return with_table("reference/metrics.md", sorted(rows))


def reason_table() -> str:
    """Return the page of the dead-letter reasons. Its last column is written by hand."""
    page = "reference/dead-letter-reasons.md"
    remedies = dict(
        re.findall(r"^\| `(\w+)` \|.* \| (.+) \|$", (DOCS / page).read_text(), re.MULTILINE)
    )
    rows = [
        [f"`{code}`", text, category_of(code), remedies.get(code, "")]
        for code, text in REASONS.items()
    ]
    return with_table(page, rows)


PAGES = {
    "cli.md": commands,
    "operations-of-the-api.md": operations,
    "reference/metrics.md": metric_table,
    "reference/dead-letter-reasons.md": reason_table,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
