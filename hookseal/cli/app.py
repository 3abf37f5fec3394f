"""The `hookseal` program: all commands, and the exit codes of errors."""

import importlib.metadata
import logging
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hookseal.cli import (
    api,
    dead_letters,
    deliveries,
    demo,
    doctor,
    events,
    keys,
    local,
    master_key,
    publish,
    receive,
    settings,
    status,
    tenants,
    topics,
    ui,
    worker,
)
from hookseal.errors import HooksealError


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of ours is one line, never a traceback."""
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
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(events.app, name="events")
app.command()(demo.demo)
app.command()(publish.publish)
_FORWARDED = {"allow_extra_args": True, "ignore_unknown_options": True}
# The receiver prints its own `--help`, with its options.
app.command(context_settings={**_FORWARDED, "help_option_names": []})(receive.receive)
app.command(context_settings=_FORWARDED)(worker.worker)
app.command()(api.api)
app.command()(local.local)
app.command()(status.status)
app.command()(doctor.doctor)
app.command()(settings.settings)


def _print(asked: bool) -> None:
    if asked:
        typer.echo(f"hookseal {importlib.metadata.version('hookseal')}")
        raise typer.Exit


@app.callback()
def _hookseal(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Deliver webhooks from Kafka: encrypted for each customer, in order, at least once.

    Settings come from HOOKSEAL_* environment variables; `hookseal settings` lists them.
    """
    # We print the errors of these clients in one line of our own.
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
