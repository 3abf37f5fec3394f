"""`hookseal doctor`: is everything as it must be?"""

from dataclasses import asdict

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson
from hookseal.errors import ConfigurationError


def doctor(*, as_json: AsJson = False) -> None:
    """Check settings, versions, broker, topics, clock and API; exit 1 if something fails.

    Where HOOKSEAL_QUEUE_URL is set, the queue in the place of broker, topics and clock.
    """
    from hookseal.cli import checks
    from hookseal.config import load

    found = checks.environment_checks()
    try:
        settings = load()
    except ConfigurationError as error:
        found.append(checks.Check("settings", "fail", error.message))
    else:
        found += checks.settings_checks(settings)
        if "queue" in settings.model_fields_set:
            with ui.working("Asking the queue"):
                found.append(ui.run(checks.queue_check(settings)))
        else:
            with ui.working("Asking the broker"):
                found += ui.run(checks.cluster_checks(settings))
        with ui.working("Asking the API"):
            found += ui.run(checks.api_checks(settings))
    if as_json:
        ui.json([asdict(check) for check in found])
    else:
        ui.table(
            ("check", "status", "found"),
            [(check.name, check.status, check.message) for check in found],
        )
    if any(check.status == "fail" for check in found):
        raise typer.Exit(1)
