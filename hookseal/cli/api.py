"""`hookseal api`: serve the HTTP API."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from hookseal.cli import ui
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from hookseal.cli.api_service import ApiService
    from hookseal.config import Settings

__all__ = ["api"]


def api(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 is any that is free.")] = 8000,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C; several may run side by side.

    It starts although Kafka is down, and says so at /readyz. Its reference is at /docs.
    """
    from hookseal.config import load
    from hookseal.descriptors import raise_soft_limit

    settings = load()
    settings.master_key_bytes()
    raise_soft_limit()
    ui.run(_serve(settings, host, port))


async def _serve(settings: "Settings", host: str, port: int) -> None:
    import logging.config

    from hookseal.cli.api_service import ApiService
    from hookseal.telemetry.logs import logging_config

    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with ApiService(settings, host=host, port=port) as service:
            ui.print_line(f"The API answers at {service.url} until Ctrl-C")
            await _until_stopped(stop, service)
    except OSError as error:
        raise ConfigurationError(
            "port_unavailable", f"{host}:{port} cannot be listened on: {error.strerror}."
        ) from None


async def _until_stopped(stop: asyncio.Event, service: "ApiService") -> None:
    stopped = asyncio.create_task(stop.wait())
    key_known = asyncio.create_task(service.key_known())
    await asyncio.wait((stopped, key_known), return_when=asyncio.FIRST_COMPLETED)
    if key_known.done() and (error := key_known.result()) is not None:
        stopped.cancel()
        raise error
    key_known.cancel()
    await stopped
