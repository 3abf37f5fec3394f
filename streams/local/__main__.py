"""`python -m streams.local`, which is what `hookseal local` becomes."""

from __future__ import annotations

import asyncio
import base64
import logging.config
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import SecretStr

from hookseal.cli import ui
from hookseal.config import load
from hookseal.delivery.clock import SystemClock
from hookseal.descriptors import raise_soft_limit
from hookseal.errors import ConfigurationError, HooksealError
from hookseal.local.spool import check_spool, read_spool, write_spool
from hookseal.seal.api_keys import new_admin_key
from hookseal.telemetry.logs import logging_config
from streams.local.service import LocalService
from streams.local.stores import LocalOrdering, order_of, stored
from streams.process import tune_gc, use_event_loop

if TYPE_CHECKING:
    from hookseal.config import Settings
    from streams.local.stores import Stored


class Asked(msgspec.Struct, frozen=True):
    """What stands on the command line.

    Attributes:
        port: 0 takes any that is free.
        spool: A file for what is left in memory.
    """

    host: str
    port: int
    ordering: LocalOrdering | None = None
    spool: str | None = None


def main(arguments: list[str]) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code."""
    # The API and the deliveries of this process share it.
    raise_soft_limit()
    try:
        asked = msgspec.json.decode(arguments[0], type=Asked)
        settings = load()
        use_event_loop(settings.event_loop)
        tune_gc()
        asyncio.run(_serve(asked, settings))
    except HooksealError as error:
        ui.print_error(error)
        return ui.exit_code_of(error)
    return 0


async def _serve(asked: Asked, settings: Settings) -> None:
    ordering = order_of(settings, asked.ordering)
    kept = stored(settings, ordering, SystemClock())
    spool = None if asked.spool is None else Path(asked.spool)
    if spool is not None and kept.memory is None:
        raise ConfigurationError(
            "options_conflict", "What is in Redis is kept without a spool.", field="--spool"
        )
    settings = _with_keys(settings, kept, spool)
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    if spool is not None and kept.memory is not None:
        check_spool(spool)
        events = read_spool(spool, kept.memory)
        if events is not None:
            ui.err.print(f"{events} events were taken up from {spool.name}.", style="dim")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with LocalService(
            settings, kept, ordering, host=asked.host, port=asked.port
        ) as service:
            ui.print_line(f"The API answers at {service.url} until Ctrl-C")
            await stop.wait()
    except OSError as error:
        raise ConfigurationError(
            "port_unavailable",
            f"{asked.host}:{asked.port} cannot be listened on: {error.strerror}.",
        ) from None
    finally:
        _leave(kept, spool)


def _with_keys(settings: Settings, kept: Stored, spool: Path | None) -> Settings:
    """Return the settings, with keys of this run alone where nothing outlives it."""
    made: dict[str, Any] = {}
    if kept.memory is None or spool is not None:
        settings.master_key_bytes()
    elif not settings.master_key.get_secret_value():
        made["master_key"] = SecretStr(base64.b64encode(secrets.token_bytes(32)).decode())
    if not settings.admin_key.get_secret_value() and kept.memory is not None:
        made["admin_key"] = SecretStr(new_admin_key())
        ui.err.print(
            f"HOOKSEAL_ADMIN_KEY={made['admin_key'].get_secret_value()} is the operator's key "
            "until this process ends.",
            style="dim",
        )
    return settings.model_copy(update=made)


def _leave(kept: Stored, spool: Path | None) -> None:
    if kept.memory is None:
        return
    left = kept.memory.left()
    report = ", ".join(f"{count} {name}" for name, count in left.items())
    if spool is not None:
        write_spool(spool, kept.memory)
        ui.err.print(f"Written to {spool.name}: {report}.")
    elif any(left.values()):
        ui.err.print(f"Lost with this process: {report}. --spool FILE keeps them.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
