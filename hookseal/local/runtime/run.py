"""Runs `hookseal local` until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import base64
import logging.config
import secrets
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from hookseal.config import load
from hookseal.delivery.ports import Clock
from hookseal.descriptors import raise_soft_limit
from hookseal.errors import ConfigurationError
from hookseal.local.leases import Leases, RedisLeases
from hookseal.local.memory_store import MemoryStore
from hookseal.local.runtime.service import LocalService
from hookseal.local.spool import check_spool, read_spool, write_spool
from hookseal.runtime.process import tune_gc, use_event_loop
from hookseal.seal.api_keys import new_admin_key
from hookseal.telemetry.logs import logging_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.domain.endpoint import Ordering
    from hookseal.local.store import Store

LocalOrdering = Literal["customer", "endpoint", "key", "unordered", "sequential"]


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
        port: 0 = any free port.
        ordering: None = HOOKSEAL_ORDERING if set, else `customer`.
        spool: File for the contents of the memory store between two runs.
        on_ready: Called with the URL of the API.
        note: Called with one line for the person at the terminal.
    """
    # The API and the deliveries share the file descriptors of this process.
    raise_soft_limit()
    settings = load()
    use_event_loop(settings.event_loop)
    tune_gc()
    settings = settings.model_copy(update={"ordering": _resolve_ordering(settings, ordering)})

    async def serve() -> None:
        store, leases = _open_store(settings)
        memory = store if isinstance(store, MemoryStore) else None
        if spool is not None and memory is None:
            raise ConfigurationError(
                "options_conflict",
                "--spool is for memory:// only. Redis keeps events without it.",
                field="--spool",
            )
        complete = _with_keys(settings, note, in_memory=memory is not None, spool=spool)
        logging.config.dictConfig(logging_config(settings.log_level, settings.log_format))
        if spool is not None and memory is not None:
            check_spool(spool)
            events = read_spool(spool, memory)
            if events is not None:
                note(f"{events} events were read from {spool.name}.")
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            async with LocalService(complete, store, leases, host=host, port=port) as service:
                on_ready(service.url)
                await stop.wait()
        except OSError as error:
            raise ConfigurationError(
                "port_unavailable",
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port.",
            ) from None
        finally:
            if memory is not None:
                _save(memory, spool, note)

    asyncio.run(serve())


def _resolve_ordering(settings: Settings, requested: LocalOrdering | None) -> Ordering:
    """Return the engine's ordering mode, or raise `ordering_unsupported`."""
    if requested is None and "ordering" in settings.model_fields_set:
        if settings.ordering == "partition":
            raise ConfigurationError(
                "ordering_unsupported",
                "The ordering mode `partition` needs Kafka. Without Kafka use `customer`, "
                "`endpoint`, `key`, `unordered`, or the option `--ordering sequential`, which "
                "delivers one event after the other.",
                field="HOOKSEAL_ORDERING",
            )
        return settings.ordering
    if requested == "sequential":
        return "partition"
    return requested or "customer"


def _open_store(settings: Settings) -> tuple[Store, Leases]:
    """Return the store of `HOOKSEAL_QUEUE_URL`, not yet started, and the leases on it."""
    if settings.queue_url == "memory://":
        # One partition: first in, first out.
        return MemoryStore(1, now=Clock().now), Leases(1)
    try:
        from hookseal.local.redis_link import RedisLink  # noqa: PLC0415 - an extra
        from hookseal.local.redis_store import RedisStore  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "extra_missing", "redis is not installed. Install `hookseal[redis]`.", field="redis"
        ) from None
    # One event at a time over all processes needs a single partition.
    partitions = 1 if settings.ordering == "partition" else settings.partitions
    link = RedisLink(settings.queue_url, settings.topic_prefix)
    leases = RedisLeases(
        link,
        partitions,
        lease_s=settings.session_timeout_s,
        heartbeat_s=settings.heartbeat_interval_s,
        name=settings.group_instance_id,
    )
    return RedisStore(link, partitions), leases


def _with_keys(
    settings: Settings, note: Callable[[str], None], *, in_memory: bool, spool: Path | None
) -> Settings:
    """Return the settings; keys are generated if nothing that needs them outlives the process."""
    generated: dict[str, Any] = {}
    if not in_memory or spool is not None:
        settings.master_key_bytes()
    elif not settings.master_key.get_secret_value():
        generated["master_key"] = SecretStr(base64.b64encode(secrets.token_bytes(32)).decode())
    if not settings.admin_key.get_secret_value() and in_memory:
        admin_key = new_admin_key()
        generated["admin_key"] = SecretStr(admin_key)
        note(f"HOOKSEAL_ADMIN_KEY={admin_key} is valid until this process ends.")
    return settings.model_copy(update=generated)


def _save(memory: MemoryStore, spool: Path | None, note: Callable[[str], None]) -> None:
    contents = memory.contents()
    topics = Counter(record.topic for record in contents.records)
    report = (
        f"{topics['events']} events, {topics['dead-letters']} dead letters, "
        f"{len(contents.documents)} tenants"
    )
    if spool is not None:
        write_spool(spool, memory)
        note(f"Written to {spool.name}: {report}.")
    elif topics["events"] or topics["dead-letters"] or contents.documents:
        note(f"Lost with this process: {report}. --spool FILE keeps them.")
