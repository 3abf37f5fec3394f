"""Runs `hookseal local` until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import base64
import logging.config
import secrets
import signal
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from hookseal.config import load
from hookseal.delivery.ports import Clock
from hookseal.descriptors import raise_soft_limit
from hookseal.errors import ConfigurationError
from hookseal.local.runtime.service import LocalService
from hookseal.local.runtime.stores import LocalOrdering, open_store, resolve_ordering
from hookseal.local.spool import check_spool, read_spool, write_spool
from hookseal.runtime.process import tune_gc, use_event_loop
from hookseal.seal.api_keys import new_admin_key
from hookseal.telemetry.logs import logging_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.local.runtime.stores import OpenStore


def run(
    *,
    host: str,
    port: int,
    ordering: LocalOrdering | None,
    spool: Path | None,
    on_ready: Callable[[str], None],
    note: Callable[[str], None],
) -> None:
    """Serve the API and deliver until SIGTERM or Ctrl-C.

    Args:
        port: 0 takes a free port.
        ordering: None = the setting HOOKSEAL_ORDERING, or `unordered`.
        spool: A file for the events that are still in memory at the end.
        on_ready: Called with the URL of the API.
        note: Called with one line for the person at the terminal.
    """
    # The API and the deliveries share the file descriptors of this process.
    raise_soft_limit()
    settings = load()
    use_event_loop(settings.event_loop)
    tune_gc()
    asyncio.run(
        _serve(
            settings,
            host=host,
            port=port,
            requested=ordering,
            spool=spool,
            on_ready=on_ready,
            note=note,
        )
    )


async def _serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    requested: LocalOrdering | None,
    spool: Path | None,
    on_ready: Callable[[str], None],
    note: Callable[[str], None],
) -> None:
    ordering = resolve_ordering(settings, requested)
    opened = open_store(settings, ordering, Clock())
    if spool is not None and opened.memory is None:
        raise ConfigurationError(
            "options_conflict", "What is in Redis is kept without a spool.", field="--spool"
        )
    settings = _with_keys(settings, opened, spool, note)
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
    if spool is not None and opened.memory is not None:
        check_spool(spool)
        events = read_spool(spool, opened.memory)
        if events is not None:
            note(f"{events} events were taken up from {spool.name}.")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with LocalService(settings, opened, ordering, host=host, port=port) as service:
            on_ready(service.url)
            await stop.wait()
    except OSError as error:
        raise ConfigurationError(
            "port_unavailable", f"{host}:{port} cannot be listened on: {error.strerror}."
        ) from None
    finally:
        _save(opened, spool, note)


def _with_keys(
    settings: Settings, opened: OpenStore, spool: Path | None, note: Callable[[str], None]
) -> Settings:
    """Return the settings with generated keys where nothing outlives the process."""
    generated: dict[str, Any] = {}
    if opened.memory is None or spool is not None:
        settings.master_key_bytes()
    elif not settings.master_key.get_secret_value():
        generated["master_key"] = SecretStr(base64.b64encode(secrets.token_bytes(32)).decode())
    if not settings.admin_key.get_secret_value() and opened.memory is not None:
        admin_key = new_admin_key()
        generated["admin_key"] = SecretStr(admin_key)
        note(f"HOOKSEAL_ADMIN_KEY={admin_key} is the operator's key until this process ends.")
    return settings.model_copy(update=generated)


def _save(opened: OpenStore, spool: Path | None, note: Callable[[str], None]) -> None:
    if opened.memory is None:
        return
    left = opened.memory.left()
    report = ", ".join(f"{count} {name}" for name, count in left.items())
    if spool is not None:
        write_spool(spool, opened.memory)
        note(f"Written to {spool.name}: {report}.")
    elif any(left.values()):
        note(f"Lost with this process: {report}. --spool FILE keeps them.")
