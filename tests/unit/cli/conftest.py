from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from hookseal.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result

    Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `hookseal` with these arguments and, of the settings, only those given."""
    for name in [name for name in os.environ if name.startswith("HOOKSEAL_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: bytes | None = None, **settings: str) -> Result:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, arguments, input=stdin)

    return run
