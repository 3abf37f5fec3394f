"""`hookseal receive`: a small receiver to try things with."""

import typer

from hookseal.cli.options import missing_extra

__all__ = ["receive"]


def receive(context: typer.Context) -> None:
    """Receive events as a tenant would: verify, open, print, until Ctrl-C.

    It is `hookseal-receiver listen`, with the same options, and shares no code with the
    sender.
    """
    try:
        from hookseal_receiver.cli.app import listen
    except ImportError as error:
        raise missing_extra(error, "receiver") from None

    listener = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    listener.command()(listen)
    listener(context.args, prog_name=context.command_path)
