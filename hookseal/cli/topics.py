"""`hookseal topics`: create the topics, check them."""

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Create the topics, check them.")


@app.command()
def create(*, as_json: AsJson = False) -> None:
    """Create the topics that are missing, with HOOKSEAL_PARTITIONS partitions each."""
    from hookseal.config import load
    from hookseal.kafka import topics

    settings = load()
    with ui.working("Creating topics"):
        created = ui.run(
            topics.create(
                settings.cluster, partitions=settings.partitions, replication=settings.replication
            )
        )
    if as_json:
        ui.json({"created": created})
    elif created:
        for name in created:
            ui.print_line(f"Created {name}")
    else:
        ui.print_line("All topics exist already.")


@app.command()
def check(*, as_json: AsJson = False) -> None:
    """Verify that all topics exist and have the same number of partitions."""
    from hookseal.config import load
    from hookseal.kafka import topics

    with ui.working("Asking the broker"):
        found = ui.run(topics.states(load().cluster))
    if as_json:
        ui.json(found)
    else:
        rows = [(name, "missing" if count is None else count) for name, count in found.items()]
        ui.table(("topic", "partitions"), rows)
    topics.check(found)
