"""What is asked of the API: requests of tenants and of the operator, ready to be sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import orjson

from benchmarks.sample import event_value
from benchmarks.scenario import CUSTOMERS
from hookseal.domain.tenant import SCOPES, Tenant
from hookseal.seal.api_keys import ApiKeys

if TYPE_CHECKING:
    from pathlib import Path

BATCH_EVENTS = 100
# Replaced by a number that grows from request to request.
COUNTER = "@@@@@@@@@@@@"
_REQUESTS = 240


class Kind(NamedTuple):
    """A kind of request."""

    name: str  # For programs
    title: str  # For people
    events: int  # In each request


KINDS = (
    Kind("single", "one event each", 1),
    Kind("single_named", "one event each, with an id of its own", 1),
    Kind("batch", f"{BATCH_EVENTS} events each, of {CUSTOMERS} customers", BATCH_EVENTS),
)


def make_tenants(master_key: bytes) -> tuple[list[Tenant], dict[str, str]]:
    """Return tenants, and an API key of each by customer id."""
    api_keys = ApiKeys({}, master_keys=[master_key])
    tenants, keys = [], {}
    for number in range(CUSTOMERS):
        key, stored = api_keys.new(SCOPES, now=time.time())
        tenants.append(Tenant(f"customer-{number}", revision=1, api_keys=(stored,)))
        keys[tenants[-1].customer_id] = key
    return tenants, keys


def write_requests(kind: Kind, keys: dict[str, str], admin_key: str, file: Path) -> None:
    """Write requests of this kind, one a line: key, tab, body.

    Single events are published by their tenants, each with its own API key; batches by the
    operator, for all of them.
    """
    customers = list(keys)
    lines = []
    for number in range(_REQUESTS if kind.events == 1 else _REQUESTS // 10):
        if kind.events == 1:
            customer_id = customers[number % len(customers)]
            lines.append(f"{keys[customer_id]}\t{_event(kind, number).decode()}")
        else:
            events = [
                _event(kind, number + n, customers[n % len(customers)]) for n in range(kind.events)
            ]
            lines.append(f"{admin_key}\t[{b','.join(events).decode()}]")
    file.write_text("\n".join(lines))


def _event(kind: Kind, number: int, customer_id: str | None = None) -> bytes:
    event = orjson.loads(event_value(number))
    del event["id"]
    if customer_id is not None:
        event["customer_id"] = customer_id
    if kind.name == "single_named":
        event["id"] = f"evt_{COUNTER}"
    return orjson.dumps(event)
