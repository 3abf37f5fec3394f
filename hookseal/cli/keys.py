"""`hookseal keys`: make a key pair, as a tenant would; make an admin key."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hookseal.cli import ui
from hookseal.errors import ConfigurationError, ConflictError

__all__ = ["app", "write_private"]

app = typer.Typer(no_args_is_help=True, help="Make keys.")


@app.command()
def generate(
    alg: Annotated[
        Literal["rsa-4096", "rsa-3072", "rsa-2048", "p256", "x25519"],
        typer.Option(help="Kind of key."),
    ] = "rsa-4096",
    out: Annotated[
        Path, typer.Option(help="File of the private key; it must not exist yet.")
    ] = Path("hookseal-private-key.pem"),
) -> None:
    """Make a key pair; the private key goes to a file, the public one to stdout.

    Register the public key; keep the private key where the events are received.
    """
    from hookseal.seal.keys import generate_private_key

    with ui.working(f"Making a key ({alg})"):
        private_pem, public_pem = generate_private_key(alg)
    write_private(out, private_pem)
    ui.err.print(f"Private key: {out}", markup=False, soft_wrap=True)
    ui.print_line(public_pem.decode().rstrip("\n"))


@app.command()
def admin() -> None:
    """Make an admin key for the API, to be given as HOOKSEAL_ADMIN_KEY."""
    from hookseal.seal.api_keys import new_admin_key

    ui.print_line(new_admin_key())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read.

    Raises:
        ConflictError: `file_exists`.
        ConfigurationError: `file_not_written`.
    """
    try:
        # O_EXCL: made by this very call, with this mode, or not at all.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConflictError(
            "file_exists", "A key is never overwritten; give another file.", field=str(path)
        ) from None
    except OSError as error:
        raise ConfigurationError(
            "file_not_written", f"The file cannot be written: {error.strerror}.", field=str(path)
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
