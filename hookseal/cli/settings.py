"""`hookseal settings`: every setting, from the one place where they are declared."""

from typing import Annotated

import typer

from hookseal.cli import ui

__all__ = ["settings"]


def settings(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page `docs/settings.md`.")
    ] = False,
) -> None:
    """List every setting: name, kind, default, bounds, meaning."""
    from hookseal.cli.settings_table import COLUMNS, page, rows

    if markdown:
        ui.out.file.write(page())
        return
    ui.table(COLUMNS, rows())
