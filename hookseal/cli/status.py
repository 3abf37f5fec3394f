"""`hookseal status`: workers, partitions and what they wait for, suspended endpoints."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

if TYPE_CHECKING:
    from hookseal.cli.api_service import Part

# Seconds for one request, which asks Kafka for up to 8 s.
_TIMEOUT_S = 15.0

Json = dict[str, Any]


def status(*, as_json: AsJson = False) -> None:
    """Show workers, partitions and what they wait for, suspended endpoints and dead letters.

    Exit code 1: no worker runs, a partition has no worker, a part cannot be read, or Kafka does not
    answer.
    """
    from hookseal.cli.api_session import client
    from hookseal.config import load

    parts: frozenset[Part] = frozenset({"tenants", "dead_letters", "attempts"})

    async def read() -> Json:
        async with client(load(), parts=parts, timeout_s=_TIMEOUT_S) as api:
            return dict(await api.ask("GET", "/v1/status"))

    with ui.working("Reading the status"):
        found = ui.run(read())
    if as_json:
        ui.json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(1)


def _print(found: Json) -> None:
    for problem in found["problems"]:
        ui.print_line(ui.printable(f"{problem['code']}: {problem['detail']}"))
    group = found["group"]
    name = "" if group is None else f"group {group['id']} ({group['state']}), "
    ui.print_line(f"{name}{len(found['workers'])} worker(s), lag {found['lag']:,}")
    ui.print_line()
    if found["workers"]:
        ui.table(
            ("worker", "host", "partitions"),
            [
                (one["id"], one["host"], ", ".join(map(str, one["partitions"])))
                for one in found["workers"]
            ],
        )
        ui.print_line()
    ui.table(
        ("partition", "state", "lag", "committed", "end", "oldest", "waits for"),
        [
            (
                one["partition"],
                one["state"],
                one["lag"],
                one["committed_offset"],
                one["end_offset"],
                _age(one["since"], found["at"]),
                _reason(one),
            )
            for one in found["partitions"]
        ],
    )
    if found["endpoints"]:
        ui.print_line()
        ui.table(
            ("customer id", "endpoint", "state", "because", "since", "deferred"),
            [
                [
                    one[name]
                    for name in (
                        "customer_id",
                        "endpoint_id",
                        "state",
                        "because",
                        "since",
                        "deferred",
                    )
                ]
                for one in found["endpoints"]
            ],
        )
        hidden = (found["endpoint_count"] or 0) - len(found["endpoints"])
        if hidden:
            ui.print_line(f"and {hidden:,} more")
    if found["dead_letters"] is not None:
        counts = ", ".join(f"{name} {count:,}" for name, count in found["dead_letters"].items())
        ui.print_line()
        ui.print_line(f"Dead letters in the last hour: {counts}")


def _reason(partition: Json) -> str:
    held, oldest = partition["held_by"], partition["oldest"]
    if held is not None:
        return (
            f"{held['customer_id']} {held['endpoint_id']}: {held['code']}, "
            f"attempt {held['attempt']} of {held['attempt_max']}, event {held['event_id']}"
        )
    if partition["state"] == "open_transaction":
        return "a producer's transaction"
    if oldest is None or partition["state"] == "idle":
        return ""
    return f"{oldest['customer_id'] or 'a broadcast'}: event {oldest['event_id']}"


def _age(since: str | None, now: str) -> str:
    if since is None:
        return ""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
    return f"{max(0, round(seconds)):,} s"
