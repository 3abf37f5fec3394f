"""`hookseal dead-letters replay --accepted`: the events of an endpoint, read from Kafka itself."""

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hookseal.cli import ui
from hookseal.cli.api_session import ReadingBar
from hookseal.config import load
from hookseal.dead_letters.index import LetterIndex
from hookseal.dead_letters.replay import EventsWanted, Replayer
from hookseal.domain.conflicts import conflict
from hookseal.errors import InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import partition_count
from hookseal.tenants.model import TenantsModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookseal.config import Settings
    from hookseal.domain.letter_filter import LetterFilter


async def replay_accepted(wanted: "LetterFilter", again: str, per_s: float | None) -> int:
    """Publish an endpoint's events again; return how many.

    Raises:
        InvalidInputError: `options_conflict` where HOOKSEAL_API_URL is set.
        ConflictError: `unknown_tenant`, `unknown_endpoint`.
    """
    settings = load()
    if settings.api_url:
        raise InvalidInputError(
            "options_conflict",
            "--accepted reads `events` on Kafka itself; leave HOOKSEAL_API_URL unset for it.",
            field="accepted",
        )
    partitions = await partition_count(settings.cluster)
    events = await _events_wanted(settings, wanted, partitions, again)
    async with _letter_index(settings) as index:
        replayer = Replayer(settings.cluster, index, event_max_bytes=settings.event_max_bytes)
        with ui.progress() as bar:
            task = bar.add_task("Replaying", total=None)
            return await replayer.replay_events(
                events,
                partitions=partitions,
                per_s=per_s,
                on_progress=lambda count: bar.advance(task, count),
                on_wait=_waiting(),
            )


@asynccontextmanager
async def _letter_index(settings: "Settings") -> "AsyncIterator[LetterIndex]":
    index = LetterIndex(settings.cluster, settings.data_dir)
    try:
        await index.start()
        with ui.progress() as bar:
            await index.catch_up(on_progress=ReadingBar(bar))
        yield index
    finally:
        await index.close()


async def _events_wanted(
    settings: "Settings", wanted: "LetterFilter", partitions: int, again: str
) -> "EventsWanted":
    customer_id, endpoint_id = wanted.customer_id or "", wanted.endpoint_id or ""
    followed_partitions = (partition_of(customer_id, partitions),)
    async with TenantsModel(
        settings.cluster, settings.tenant_codec(), partitions=followed_partitions
    ) as tenants:
        tenant = tenants.get(customer_id)
    if tenant is None:
        raise conflict("unknown_tenant", field=customer_id)
    endpoint = tenant.endpoint(endpoint_id)
    if endpoint is None:
        raise conflict("unknown_endpoint", field=endpoint_id)
    return EventsWanted(
        customer_id, endpoint_id, wanted.since_ms or 0, endpoint.wants, wanted.until_ms, again
    )


def _waiting() -> "Callable[[int], None]":
    told: set[int] = set()

    def tell(partition: int) -> None:
        if partition not in told:
            told.add(partition)
            ui.err.print(f"Another replay is under way on partition {partition}; waiting for it.")

    return tell
