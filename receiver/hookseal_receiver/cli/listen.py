"""`hookseal-receiver listen`: a receiver to try things with, and to rehearse failure."""

import asyncio
import random
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from hookseal_receiver.cli.told import told, visible
from hookseal_receiver.errors import SetupError, VerificationError
from hookseal_receiver.event import Event
from hookseal_receiver.repeats import Bounds, MemoryStore, Standing
from hookseal_receiver.webhook import MAX_BODY_BYTES, Webhook

_REMEMBERED = 10_000
_KEY_MAX_BYTES = 64 * 1024
_SERVICE_UNAVAILABLE = 503


@told
def listen(
    *,
    key: Annotated[list[Path], typer.Option(help="Private key, PEM or JWK; may be repeated.")],
    secret: Annotated[list[str], typer.Option(help="Signing secret, whsec_…; may be repeated.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 is any that is free.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    endpoint_id: Annotated[
        str | None, typer.Option(help="Refuse what is for another endpoint.")
    ] = None,
    fail_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests to answer with 503.")
    ] = 0.0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds before each answer.")] = 0.0,
    status: Annotated[int, typer.Option(min=200, max=599, help="The answer otherwise.")] = 200,
    max_body_bytes: Annotated[
        int, typer.Option(min=1, help="Largest body; more if the sender allows larger events.")
    ] = MAX_BODY_BYTES,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only count.")] = False,
) -> None:
    """Receive events as a tenant would: verify, open, print, until Ctrl-C."""
    webhook = Webhook(
        secrets=secret,
        keys=[_read(path) for path in key],
        endpoint_id=endpoint_id,
        max_body_bytes=max_body_bytes,
    )
    desk = Desk(fail_rate=fail_rate, latency_s=latency, status=status, quiet=quiet)
    asyncio.run(_serve(desk, webhook, host, port))


class Desk:
    """Decides on answers, prints, counts."""

    def __init__(self, *, fail_rate: float, latency_s: float, status: int, quiet: bool) -> None:
        self.received = self.repeated = self.not_opened = 0
        self._fail_rate = fail_rate
        self._latency_s = latency_s
        self._status = status
        self._quiet = quiet
        self._store = MemoryStore(bounds=Bounds(max_entries=_REMEMBERED))

    async def answer(self, event: Event, _body: bytes) -> int:
        """Return the status; remember the event if it is accepted."""
        claim = self._store.claim(event.delivery)
        await asyncio.sleep(self._latency_s)
        failing = random.random() < self._fail_rate  # noqa: S311 - plays a bad receiver
        status = _SERVICE_UNAVAILABLE if failing else self._status
        self.received += 1
        repeat = claim.standing is not Standing.NEW
        self.repeated += repeat
        if status < 300:  # noqa: PLR2004 - 2xx is acceptance
            self._store.finish(claim)
        else:
            self._store.release(claim)
        mark = " (repeat)" if repeat else ""
        self._say(f"{status} {event.id}{mark} {event.plaintext.decode('utf-8', 'replace')}")
        return status

    def refused(self, error: VerificationError) -> None:
        """Count and print a request that is not as it must be."""
        self.not_opened += 1
        self._say(f"400 {error.reason}: {error.message}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            typer.echo(f"{time.strftime('%H:%M:%S')} {visible(text)}")


async def _serve(desk: Desk, webhook: Webhook, host: str, port: int) -> None:
    from hookseal_receiver.listener import Listener

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = Listener(
        answer=desk.answer, refused=desk.refused, webhook=webhook, host=host, port=port
    )
    try:
        async with listener:
            typer.echo(f"Receiving at http://{host}:{listener.port}/ until Ctrl-C")
            await stop.wait()
    except OSError as error:
        raise SetupError(
            "port_unavailable", f"{host}:{port} cannot be listened on: {error.strerror}."
        ) from None
    typer.echo(
        f"Received {desk.received}, of which {desk.repeated} repeats; "
        f"refused {desk.not_opened} that could not be verified and opened."
    )


def _read(path: Path) -> bytes:
    """Return the contents of a key file; `-` is stdin.

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
            "file_not_read", f"The file cannot be read: {error.strerror}.", field=str(path)
        ) from None
    if len(content) > _KEY_MAX_BYTES:
        raise SetupError(
            "file_too_large", f"A key has at most {_KEY_MAX_BYTES} bytes.", field=str(path)
        )
    return content
