"""`hookseal dead-letters replay`: publishing again, each event once."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookseal.cli import ui
from hookseal.cli.letter_options import (
    Category,
    Customer,
    Endpoint,
    EventType,
    Reason,
    SetAside,
    Since,
    Status,
    Until,
    asked_of,
    followed,
    letter_filter,
)
from hookseal.cli.options import AsJson
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.config import Settings
    from hookseal.dead_letters.replay import EventsWanted
    from hookseal.domain.letter_filter import LetterFilter

__all__ = ["replay"]

_PER_S = 200.0


def replay(
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="These ones, as listed.")
    ] = None,
    customer: Customer = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    category: Category = None,
    set_aside: SetAside = False,
    event_type: EventType = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, of all customers.")
    ] = False,
    accepted: Annotated[
        bool,
        typer.Option(
            "--accepted",
            help="Not dead letters: all events of --endpoint since --since, as they stand on "
            "`events`, accepted ones included.",
        ),
    ] = False,
    again: Annotated[
        str, typer.Option(metavar="NAME", help="With --accepted: once more, after it was done.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="At most so many a second, from 1 on; 0 = no bound.")
    ] = _PER_S,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be replayed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters' events again, each aimed at the endpoint that gave up.

    Each letter is replayed once, however often this is interrupted, repeated, or run twice
    at once. They are sealed to the key, and go to the URL, that the tenant has by then.
    """
    from hookseal.config import load
    from hookseal.domain.letter_filter import parse_place

    options: dict[str, Any] = {
        "customer": customer,
        "endpoint": endpoint,
        "reason": reason,
        "category": category,
        "set_aside": set_aside,
        "event_type": event_type,
        "status": status,
        "since": since,
        "until": until,
    }
    wanted = letter_filter(**options)
    if ids:
        wanted = replace(wanted, places=tuple(parse_place(one) for one in ids))
    if not (ids or everything or any(options.values())):
        raise InvalidInputError(
            "filter_missing", "Say which: ids, a filter, or --all for everything.", field="filter"
        )
    per_s = None if rate == 0 else max(1.0, rate)
    settings = load()
    if accepted:
        _check_accepted(wanted, dry_run=dry_run)
        if settings.api_url:
            raise InvalidInputError(
                "options_conflict",
                "--accepted reads `events` on Kafka itself; leave HOOKSEAL_API_URL unset for it.",
                field="accepted",
            )
        done = ui.run(_accepted(settings, wanted, again, per_s))
        _report({"replayed": done}, as_json=as_json)
    elif settings.api_url:
        asked = asked_of(options)
        if ids:
            asked["ids"] = ids
        _report(ui.run(_over_api(settings, asked, limit, per_s, dry_run)), as_json=as_json)
    else:
        _report(ui.run(_letters(settings, wanted, limit, per_s, dry_run)), as_json=as_json)


def _check_accepted(wanted: "LetterFilter", *, dry_run: bool) -> None:
    for name, value in (
        ("customer", wanted.customer_id),
        ("endpoint", wanted.endpoint_id),
        ("since", wanted.since_ms),
    ):
        if value is None:
            raise InvalidInputError(
                "option_missing", f"--accepted needs --{name} as well.", field=name
            )
    others = (wanted.reasons, wanted.event_type, wanted.status, wanted.places, dry_run or None)
    if any(other is not None for other in others):
        raise InvalidInputError(
            "options_conflict",
            "--accepted goes with --customer, --endpoint, --since, --until, --again and --rate.",
            field="accepted",
        )


def _report(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        ui.json(figures)
        return
    for name, count in figures.items():
        ui.print_line(f"{name.replace('_', ' ')}: {count}")


async def _over_api(
    settings: "Settings",
    asked: dict[str, Any],
    limit: int | None,
    per_s: float | None,
    dry_run: bool,
) -> dict[str, Any]:
    from hookseal.cli.api_letters import api_letters

    async with api_letters(settings) as letters:
        plan = await letters.plan(asked)
        total = plan["replayed"] + plan["remaining"]
        total = total if limit is None else min(limit, total)
        if dry_run:
            return {"would_replay": total, "not_replayable": plan["not_replayable"]}
        with ui.progress() as bar:
            task = bar.add_task("Replaying", total=total)
            return await letters.replay(
                asked,
                limit=limit,
                per_s=per_s,
                on_progress=lambda count: bar.advance(task, count),
            )


async def _letters(
    settings: "Settings",
    wanted: "LetterFilter",
    limit: int | None,
    per_s: float | None,
    dry_run: bool,
) -> dict[str, Any]:
    from hookseal.dead_letters.replay import Replayer

    async with followed(settings) as index:
        replayer = Replayer(settings.cluster, index, event_max_bytes=settings.event_max_bytes)
        plan = await replayer.plan(wanted)
        if dry_run:
            return {
                "would_replay": plan.to_replay if limit is None else min(limit, plan.to_replay),
                "replayed_before": plan.replayed,
                "not_replayable": plan.not_replayable,
            }
        total = plan.to_replay if limit is None else min(limit, plan.to_replay)
        with ui.progress() as bar:
            task = bar.add_task("Replaying", total=total)
            done = await replayer.replay(
                wanted,
                limit=limit,
                per_s=per_s,
                on_progress=lambda count: bar.advance(task, count),
                on_wait=_waiting(),
            )
        # Only now is it known what a replay that was cut off had done.
        await index.catch_up()
        after = await replayer.plan(wanted)
        return {
            "replayed": done,
            "replayed_before": after.replayed - done,
            "not_replayable": after.not_replayable,
        }


async def _accepted(
    settings: "Settings", wanted: "LetterFilter", again: str, per_s: float | None
) -> int:
    from hookseal.dead_letters.replay import Replayer
    from hookseal.kafka.topics import partition_count

    partitions = await partition_count(settings.cluster)
    events = await _events_wanted(settings, wanted, partitions, again)
    async with followed(settings) as index:
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


async def _events_wanted(
    settings: "Settings", wanted: "LetterFilter", partitions: int, again: str
) -> "EventsWanted":
    from hookseal.dead_letters.replay import EventsWanted
    from hookseal.domain.conflicts import conflict
    from hookseal.kafka.partitioner import partition_of
    from hookseal.tenants.model import TenantsModel

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
