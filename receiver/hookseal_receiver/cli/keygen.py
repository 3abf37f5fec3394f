"""`hookseal-receiver keygen`: a key pair; only the public half leaves the machine."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from hookseal_receiver.cli.told import told
from hookseal_receiver.errors import SetupError


@told
def keygen(
    *,
    alg: Annotated[
        Literal["p256", "x25519", "rsa-2048", "rsa-3072", "rsa-4096"],
        typer.Option(help="Kind of key. Libraries of every language know P-256 and RSA."),
    ] = "p256",
    out: Annotated[
        Path, typer.Option(help="File of the private key; it must not exist yet.")
    ] = Path("private.pem"),
) -> None:
    """Make a key pair; the private key goes to a file, the public one to stdout.

    Register the public key with the sender, and keep the private key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    private: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | rsa.RSAPrivateKey
    if alg == "p256":
        private = ec.generate_private_key(ec.SECP256R1())
    elif alg == "x25519":
        private = x25519.X25519PrivateKey.generate()
    else:
        private = rsa.generate_private_key(65537, int(alg.removeprefix("rsa-")))
    _write(out, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    typer.echo(f"Private key: {out}", err=True)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    typer.echo(public.decode(), nl=False)


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read.

    Raises:
        SetupError: `file_exists`, `file_not_written`.
    """
    try:
        # O_EXCL: made by this very call, with this mode, or not at all.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise SetupError(
            "file_exists", "A key is never overwritten; give another file.", field=str(path)
        ) from None
    except OSError as error:
        raise SetupError(
            "file_not_written", f"The file cannot be written: {error.strerror}.", field=str(path)
        ) from None
