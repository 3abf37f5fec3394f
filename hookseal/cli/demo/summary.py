"""What the demo says at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from hookseal.cli import ui
from hookseal.cli.demo.plan import PARTITIONS
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from hookseal.cli.demo.checks import Claim
    from hookseal.cli.demo.receivers import TenantSide
    from hookseal.cli.demo.run import DemoResult

__all__ = ["as_document", "say_summary"]

_FAULTS_SHOWN = 5
_SHOWN_CHARACTERS = 60
_COLUMNS = {
    "partition": "p",
    "customer_id": "tenant",
    "key": "key",
    "receiver": "receiver",
    "published": "published",
    "accepted": "accepted",
    "dead_lettered": "dead",
    "retried": "retried",
    "repeated": "repeats",
}


def as_document(performance: DemoResult) -> dict[str, Any]:
    """Return everything that the summary is made of, for JSON."""
    sealed = next((one for one in performance.tenants if one.specimen is not None), None)
    letter = next((found for one in performance.tenants for found in one.ledger.letters), None)
    return {
        "broker": performance.broker,
        "seconds": round(performance.seconds, 1),
        "published": sum(len(one.ledger.published) for one in performance.tenants),
        "tenants": [_row(tenant) for tenant in performance.tenants],
        "workers": [
            {"name": one.name, "partitions": one.log.partitions, "attempts": one.log.attempts}
            for one in performance.workers
        ],
        "sealed": None if sealed is None else _specimen(sealed),
        "dead_letter": None
        if letter is None
        else {"place": letter.place, "headers": letter.headers, "value": letter.value.decode()},
        "claims": [
            {"code": one.code, "text": one.text, "holds": one.holds, "faults": list(one.faults)}
            for one in performance.claims
        ],
    }


def say_summary(performance: DemoResult) -> None:
    """Print the summary."""
    document = as_document(performance)
    ui.table(
        list(_COLUMNS.values()),
        [[row[name] for name in _COLUMNS] for row in document["tenants"]],
    )
    for worker in document["workers"]:
        ui.print_line(
            f"{worker['name']}: {worker['attempts']} attempts on partitions "
            f"{', '.join(map(str, worker['partitions']))}"
        )
    if document["sealed"] is not None:
        _say_specimen(document["sealed"])
    if document["dead_letter"] is not None:
        _say_letter(document["dead_letter"])
    ui.print_line()
    for claim in performance.claims:
        _say_claim(claim)
    ui.print_line()
    failed = [claim.code for claim in performance.claims if not claim.holds]
    ending = f"These claims do NOT hold: {', '.join(failed)}." if failed else "All of it holds."
    ui.print_line(
        f"{document['published']} events in {document['seconds']} s, start and stop included, "
        f"on the {performance.broker} broker. {ending}"
    )


def _row(tenant: TenantSide) -> dict[str, Any]:
    ledger, role = tenant.ledger, tenant.role
    accepted = [arrival.at_s for arrival in ledger.arrivals if arrival.is_accepted]
    return {
        "partition": partition_of(role.customer_id, PARTITIONS),
        "customer_id": role.customer_id,
        "key": role.alg,
        "receiver": role.behaviour.value,
        "published": len(ledger.published),
        "accepted": len(ledger.accepted),
        "dead_lettered": len(ledger.letters),
        "retried": ledger.retries,
        "repeated": ledger.repeats,
        "last_accepted_s": round(max(accepted), 1) if accepted else None,
    }


def _specimen(tenant: TenantSide) -> dict[str, Any]:
    assert tenant.specimen is not None  # noqa: S101 - chosen for having one
    return {
        "customer_id": tenant.role.customer_id,
        "key": tenant.role.alg,
        "body": json.loads(tenant.specimen.body),
        "opened": tenant.specimen.plaintext.decode(),
    }


def _say_specimen(specimen: dict[str, Any]) -> None:
    ui.print_line()
    ui.print_line(f"What went over the wire to {specimen['customer_id']} ({specimen['key']}):")
    for name, value in specimen["body"].items():
        more = len(value) - _SHOWN_CHARACTERS
        ui.print_line(
            f"  {name}: {value[:_SHOWN_CHARACTERS]}{f'… {more} more' if more > 0 else ''}"
        )
    ui.print_line("and what was in it:")
    ui.print_line(f"  {ui.printable(specimen['opened'])}")


def _say_letter(letter: dict[str, Any]) -> None:
    ui.print_line()
    ui.print_line(f"A dead letter, at {letter['place']}:")
    for name, value in letter["headers"].items():
        ui.print_line(f"  hookseal-{name}: {ui.printable(value)}")
    ui.print_line(f"  {ui.printable(letter['value'])}")


def _say_claim(claim: Claim) -> None:
    line = Text("holds  " if claim.holds else "FAILS  ")
    line.stylize("bold green" if claim.holds else "bold red")
    line.append(claim.text, "default")
    ui.print_line(line)
    for fault in claim.faults[:_FAULTS_SHOWN]:
        ui.print_line(f"       {ui.printable(fault)}")
    if len(claim.faults) > _FAULTS_SHOWN:
        ui.print_line(f"       and {len(claim.faults) - _FAULTS_SHOWN} more")
