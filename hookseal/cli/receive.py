"""`hookseal receive`: a small receiver to try things with."""

import asyncio
import random
import signal
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.cli import ui
from hookseal.cli.options import missing_extra, read_small
from hookseal.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from hookseal.cli.example_receiver import Opened, Opener

__all__ = ["receive"]

_REMEMBERED = 10_000
_SERVICE_UNAVAILABLE = 503


def receive(
    *,
    key: Annotated[list[Path], typer.Option(help="Private key, PEM; may be repeated.")],
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only count.")] = False,
) -> None:
    """Receive events as a tenant would: verify, open, print, until Ctrl-C.

    It uses `standardwebhooks` and `joserfc` as they are, and no code of the sender.
    """
    desk = _Desk(fail_rate=fail_rate, latency_s=latency, status=status, quiet=quiet)
    ui.run(_serve(desk, _opener(key, secret, endpoint_id), host, port))


class _Desk:
    """Decides on answers, prints, counts."""

    def __init__(self, *, fail_rate: float, latency_s: float, status: int, quiet: bool) -> None:
        self.received = self.repeated = self.not_opened = 0
        self._fail_rate = fail_rate
        self._latency_s = latency_s
        self._status = status
        self._quiet = quiet
        # A receiver drops repeats by event id: the promise is at-least-once.
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def answer(self, opened: "Opened") -> int:
        """Return the status; note the event as seen if it is accepted."""
        await asyncio.sleep(self._latency_s)
        failing = random.random() < self._fail_rate  # noqa: S311 - plays a bad receiver
        status = _SERVICE_UNAVAILABLE if failing else self._status
        self.received += 1
        event_id = opened.event["id"]
        repeat = event_id in self._seen
        self.repeated += repeat
        if status < 300:  # noqa: PLR2004 - 2xx is acceptance
            self._seen[event_id] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        mark = " (repeat)" if repeat else ""
        self._say(f"{status} {event_id}{mark} {opened.plaintext.decode('utf-8', 'replace')}")
        return status

    def refused(self, error: InvalidInputError) -> None:
        """Count and print a request that is not as it must be."""
        self.not_opened += 1
        self._say(f"400 {error}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            ui.say(f"{time.strftime('%H:%M:%S')} {ui.printable(text)}")


async def _serve(desk: _Desk, opener: "Opener", host: str, port: int) -> None:
    from hookseal.cli.example_receiver import ExampleReceiver

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    receiver = ExampleReceiver(
        answer=desk.answer, refused=desk.refused, opener=opener, host=host, port=port
    )
    try:
        async with receiver:
            ui.say(f"Receiving at http://{host}:{receiver.port}/ until Ctrl-C")
            await stop.wait()
    except OSError as error:
        raise ConfigurationError(
            "port_unavailable", f"{host}:{port} cannot be listened on: {error.strerror}."
        ) from None
    ui.say(
        f"Received {desk.received}, of which {desk.repeated} repeats; "
        f"refused {desk.not_opened} that could not be verified and opened."
    )


def _opener(keys: list[Path], secrets: list[str], endpoint_id: str | None) -> "Opener":
    try:
        from hookseal.cli.example_receiver import Opener, private_keys
    except ImportError as error:
        raise missing_extra(error, "receiver") from None
    pems = [read_small(path) for path in keys]
    return Opener(private_keys(pems), secrets, endpoint_id=endpoint_id)
