"""`hookseal keys`: generate key pairs and admin keys."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hookseal.cli import ui
from hookseal.errors import ConfigurationError, ConflictError

app = typer.Typer(no_args_is_help=True, help="Generate key pairs and admin keys.")


@app.command()
def generate(
    alg: Annotated[
        Literal["rsa-4096", "rsa-3072", "rsa-2048", "p256", "x25519"],
        typer.Option(help="Kind of key."),
    ] = "rsa-4096",
    out: Annotated[
        Path, typer.Option(help="New file for the private key. It must not exist.")
    ] = Path("hookseal-private-key.pem"),
) -> None:
    """Generate a key pair; write the private key to a file and the public key to stdout.

    Register the public key with the tenant. Keep the private key with the receiver.
    """
    from hookseal.seal.keys import generate_private_key

    with ui.working(f"Generating a key ({alg})"):
        private_pem, public_pem = generate_private_key(alg)
    write_private(out, private_pem)
    ui.err.print(f"Private key: {out}", markup=False, soft_wrap=True)
    ui.print_line(public_pem.decode().rstrip("\n"))


@app.command()
def admin() -> None:
    """Generate an admin key for the API. Set it as HOOKSEAL_ADMIN_KEY."""
    from hookseal.seal.api_keys import new_admin_key

    ui.print_line(new_admin_key())


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        ConflictError: `file_exists`.
        ConfigurationError: `file_not_written`.
    """
    try:
        # O_EXCL: this call creates the file with this mode, or fails.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConflictError(
            "file_exists",
            "The file exists, and keys are never overwritten. Name another --out.",
            field=str(path),
        ) from None
    except OSError as error:
        raise ConfigurationError(
            "file_not_written", f"Cannot write the file: {error.strerror}.", field=str(path)
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
