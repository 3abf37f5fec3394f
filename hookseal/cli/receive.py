"""`hookseal receive`: a small receiver for tests."""

import typer

from hookseal.cli.options import missing_extra


def receive(context: typer.Context) -> None:
    """Receive events as a tenant would: verify, decrypt and print them until Ctrl-C.

    This is `hookseal-receiver listen` with the same options. It shares no code with the sender.
    """
    try:
        from hookseal_receiver.cli.app import listen
    except ImportError as error:
        raise missing_extra(error, "receiver") from None

    listener = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    listener.command()(listen)
    listener(context.args, prog_name=context.command_path)
