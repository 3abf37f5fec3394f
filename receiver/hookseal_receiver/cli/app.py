"""`hookseal-receiver`: make a key pair; receive and print events."""

import asyncio
import functools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, ParamSpec

import typer
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hookseal_receiver.errors import ReceiverError, SetupError, VerificationError
from hookseal_receiver.event import Event
from hookseal_receiver.repeats import Bounds, MemoryStore, Standing
from hookseal_receiver.webhook import MAX_BODY_BYTES, Webhook

_REMEMBERED = 10_000
_KEY_MAX_BYTES = 64 * 1024
_P = ParamSpec("_P")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would print keys and secrets.
    pretty_exceptions_enable=False,
    help="Receive sealed webhooks: make a key pair, listen.",
)


def _print_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Print a receiver error as one line on stderr, and exit with code 2."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ReceiverError as error:
            typer.echo(_visible(str(error)), err=True)
            raise typer.Exit(2) from None

    return run


def _visible(text: str) -> str:
    """Return the text with control characters escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


@app.command()
@_print_errors
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


@app.command()
@_print_errors
def listen(
    *,
    key: Annotated[list[Path], typer.Option(help="Private key, PEM or JWK; may be repeated.")],
    secret: Annotated[list[str], typer.Option(help="Signing secret, whsec_…; may be repeated.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 = any free port.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    endpoint_id: Annotated[
        str | None, typer.Option(help="Refuse requests to other endpoints.")
    ] = None,
    fail_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests to answer with 503.")
    ] = 0.0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before each answer.")] = 0.0,
    status: Annotated[int, typer.Option(min=200, max=599, help="Status of other answers.")] = 200,
    max_body_bytes: Annotated[
        int, typer.Option(min=1, help="Raise it if the sender allows larger events.")
    ] = MAX_BODY_BYTES,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Count only, do not print.")] = False,
) -> None:
    """Receive events as a tenant would: verify, decrypt, print, until Ctrl-C."""
    webhook = Webhook(
        secrets=secret,
        keys=[_read(path) for path in key],
        endpoint_id=endpoint_id,
        max_body_bytes=max_body_bytes,
    )
    responder = Responder(fail_rate=fail_rate, latency_s=latency, status=status, quiet=quiet)
    asyncio.run(_serve(responder, webhook, host, port))


class Responder:
    """Answers, prints and counts requests."""

    def __init__(self, *, fail_rate: float, latency_s: float, status: int, quiet: bool) -> None:
        self.received = self.repeated = self.refused_count = 0
        self._fail_rate = fail_rate
        self._latency_s = latency_s
        self._status = status
        self._quiet = quiet
        self._store = MemoryStore(bounds=Bounds(max_entries=_REMEMBERED))

    async def answer(self, event: Event, _body: bytes) -> int:
        """Return the status; remember an accepted event."""
        claim = self._store.claim(event.delivery)
        await asyncio.sleep(self._latency_s)
        failing = random.random() < self._fail_rate  # noqa: S311 - plays a bad receiver
        status = 503 if failing else self._status
        self.received += 1
        repeat = claim.standing is not Standing.NEW
        self.repeated += repeat
        if status < 300:  # noqa: PLR2004 - 2xx is acceptance
            self._store.finish(claim)
        else:
            self._store.release(claim)
        mark = " (repeat)" if repeat else ""
        self._print(f"{status} {event.id}{mark} {event.plaintext.decode('utf-8', 'replace')}")
        return status

    def refused(self, error: VerificationError) -> None:
        """Count and print a refused request."""
        self.refused_count += 1
        self._print(f"400 {error.reason}: {error.message}")

    def _print(self, text: str) -> None:
        if not self._quiet:
            typer.echo(f"{time.strftime('%H:%M:%S')} {_visible(text)}")


async def _serve(responder: Responder, webhook: Webhook, host: str, port: int) -> None:
    from hookseal_receiver.listener import Listener

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = Listener(
        answer=responder.answer, refused=responder.refused, webhook=webhook, host=host, port=port
    )
    try:
        async with listener:
            typer.echo(f"Receiving at http://{host}:{listener.port}/ until Ctrl-C")
            await stop.wait()
    except OSError as error:
        raise SetupError(
            "port_unavailable",
            f"Cannot listen on {host}:{port}: {error.strerror}",
        ) from None
    typer.echo(
        f"Received {responder.received} events, of which {responder.repeated} were repeats. "
        f"Refused {responder.refused_count} requests."
    )


def _read(path: Path) -> bytes:
    """Return the contents of a key file, or of stdin for `-`.

    Raises:
        SetupError: `file_not_read`, `file_too_large`.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(_KEY_MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_KEY_MAX_BYTES + 1)
    except OSError as error:
        raise SetupError(
            "file_not_read", f"Cannot read the file: {error.strerror}.", field=str(path)
        ) from None
    if len(content) > _KEY_MAX_BYTES:
        raise SetupError(
            "file_too_large",
            f"The file is larger than {_KEY_MAX_BYTES:,} bytes: no key.",
            field=str(path),
        )
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read.

    Raises:
        SetupError: `file_exists`, `file_not_written`.
    """
    try:
        # O_EXCL: this call creates the file with this mode, or fails.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise SetupError(
            "file_exists",
            "The file exists. Choose another one.",
            field=str(path),
        ) from None
    except OSError as error:
        raise SetupError(
            "file_not_written", f"Cannot write the file: {error.strerror}.", field=str(path)
        ) from None
