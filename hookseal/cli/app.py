"""The commands, put together; the one place that turns our errors into exit codes."""

import importlib.metadata
import logging
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hookseal.cli import (
    api,
    dead_letters,
    demo,
    doctor,
    keys,
    local,
    master_key,
    publish,
    receive,
    settings,
    tenants,
    topics,
    ui,
    worker,
)
from hookseal.errors import HooksealError

__all__ = ["app"]


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error raised on purpose is one line, never a traceback."""
        try:
            return super().invoke(ctx)
        except HooksealError as error:
            ui.print_error(error)
            raise typer.Exit(ui.exit_code_of(error)) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    # A traceback with local variables would print keys and secrets.
    pretty_exceptions_enable=False,
)
app.add_typer(topics.app, name="topics")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(master_key.app, name="master-key")
app.add_typer(dead_letters.app, name="dead-letters")
app.command()(demo.demo)
app.command()(publish.publish)
_AS_THEY_ARE = {"allow_extra_args": True, "ignore_unknown_options": True}
# Its own `--help` is that of the receiver, which has the options.
app.command(context_settings={**_AS_THEY_ARE, "help_option_names": []})(receive.receive)
app.command(context_settings=_AS_THEY_ARE)(worker.worker)
app.command()(api.api)
app.command()(local.local)
app.command()(doctor.doctor)
app.command()(settings.settings)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hookseal {importlib.metadata.version('hookseal')}")
        raise typer.Exit


@app.callback()
def _hookseal(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Sealed webhooks from Kafka: in order, at least once, to each customer's own key.

    Settings are taken from HOOKSEAL_* variables; `hookseal settings` lists them.
    """
    # The clients log what we say in one line of our own.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
