"""`hookseal api`: serve the HTTP API."""

import asyncio
import signal
from typing import TYPE_CHECKING

from hookseal.cli import ui
from hookseal.cli.options import Host, Port
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from hookseal.config import Settings


def api(*, host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C. Several processes may run side by side.

    The API starts even if Kafka is down; /readyz reports it. The reference is at /docs.
    """
    import logging.config

    from hookseal.config import load
    from hookseal.descriptors import raise_soft_limit
    from hookseal.environment import usable_folder
    from hookseal.telemetry.logs import logging_config

    settings = load()
    settings.master_key_bytes()
    usable_folder(settings.data_dir)
    raise_soft_limit()
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    ui.run(_serve(settings, host, port))


async def _serve(settings: "Settings", host: str, port: int) -> None:
    from hookseal.cli.api_service import serve_api

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with serve_api(settings, host=host, port=port) as running:
            ui.print_addresses(running.url)
            stopped = asyncio.create_task(stop.wait())
            key_known = asyncio.create_task(running.model.key_known())
            await asyncio.wait((stopped, key_known), return_when=asyncio.FIRST_COMPLETED)
            if key_known.done() and (error := key_known.result()) is not None:
                stopped.cancel()
                raise error
            key_known.cancel()
            await stopped
    except OSError as error:
        raise ConfigurationError(
            "port_unavailable",
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port.",
        ) from None
