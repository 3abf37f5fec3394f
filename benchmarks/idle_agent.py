"""An agent that does nothing, in the very application that the worker runs in.

A program for `faust -A benchmarks.idle_agent worker`, started by `benchmarks.worker_run`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP

from benchmarks.meter import Meter
from hookseal.config import load
from streams.faust_app import HooksealApp
from streams.stream_source import iter_records

if TYPE_CHECKING:
    from streams.lifecycle import Lifecycle


class _Nothing:
    """Stands in for the worker's lifecycle: nothing has to be started or stopped."""

    async def start(self) -> None: ...

    async def on_revoked(self, _: set[Any]) -> None: ...

    async def flush_before_revoke(self) -> None: ...

    async def reset_partitions(self, _: set[int]) -> None: ...

    async def shutdown(self) -> None: ...

    async def close(self) -> None: ...


settings = load()
meter = Meter(int(os.environ["HOOKSEAL_BENCH_EVENTS"]))
result = Path(os.environ["HOOKSEAL_BENCH_RESULT"])
# Another id is another group: it reads what the worker reads, and leaves it its offsets.
app = HooksealApp(f"{settings.topic_prefix}idle", settings)
app.lifecycle = cast("Lifecycle", _Nothing())


async def idle(stream: Any) -> None:
    """Take each event and say that it is finished."""
    async for record in iter_records(stream):
        app.consumer.mark_done_through(TP(record.topic, record.partition), record.offset)
        if meter.count():
            written = result.with_suffix(".tmp")
            written.write_text(json.dumps(meter.pace()._asdict()))
            written.replace(result)


topic: Any = app.topic(
    settings.names.events,
    key_type=bytes,
    value_type=bytes,
    key_serializer="raw",
    value_serializer="raw",
)
app.agent(topic, name="idle", isolated_partitions=True)(idle)
