"""The commands, put together."""

import typer

from hookseal_receiver.cli.keygen import keygen
from hookseal_receiver.cli.listen import listen

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would print keys and secrets.
    pretty_exceptions_enable=False,
    help="Receive sealed webhooks: make a key pair, listen.",
)
app.command()(keygen)
app.command()(listen)
