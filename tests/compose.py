"""What compose files say, held to what there is."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import typer

from hookseal.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["commands_in_the_comments", "understood"]


def understood(arguments: list[str]) -> str:
    """Parse a command line as `hookseal` would; return the command's name, run nothing."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("hookseal", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, rest, parent=context)
    return str(context.command_path)


def commands_in_the_comments(file: Path, services: Collection[str]) -> list[list[str]]:
    """Return the words behind the service of each `$compose run` in a file's comments."""
    lines = re.findall(r"^#   \$compose run (.+)$", file.read_text(), re.MULTILINE)
    found = []
    for line in lines:
        words = shlex.split(re.split(r" [<>] ", line)[0])
        service = next(word for word in words if word in services)
        found.append(words[words.index(service) + 1 :])
    return found
