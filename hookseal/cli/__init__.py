"""The command line: one file per command."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run `hookseal`."""
    from hookseal.cli.app import app

    app(prog_name="hookseal")
