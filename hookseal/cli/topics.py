"""`hookseal topics`: create and check the Kafka topics."""

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Create and check the Kafka topics.")


@app.command()
def create(*, as_json: AsJson = False) -> None:
    """Create missing topics, each with HOOKSEAL_PARTITIONS partitions."""
    from hookseal.config import load
    from hookseal.kafka import topics

    settings = load()
    sizes = {"partitions": settings.partitions, "replication": settings.replication}
    with ui.working("Creating topics"):
        created = ui.run(topics.create(settings.cluster, **sizes))
    text = "\n".join(f"Created {name}" for name in created) or "All topics exist."
    ui.result({"created": created}, text, as_json=as_json)


@app.command()
def check(*, as_json: AsJson = False) -> None:
    """Check that all topics exist and have the same number of partitions."""
    from hookseal.config import load
    from hookseal.kafka import topics

    with ui.working("Checking topics"):
        found = ui.run(topics.states(load().cluster))
    if as_json:
        ui.json(found)
    else:
        rows = [(name, "missing" if count is None else count) for name, count in found.items()]
        ui.table(("topic", "partitions"), rows)
    topics.check(found)
