"""Builds the API over the ports of a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal import __version__
from hookseal.api.app import create_app
from hookseal.api.auth import Authentication
from hookseal.api.commands import TenantChanges
from hookseal.api.console import add_console
from hookseal.api.dead_letters import DeadLetterOperations
from hookseal.api.deliveries import DeliveryOperations
from hookseal.api.endpoints import EndpointOperations
from hookseal.api.event_replay import EventReplayOperations
from hookseal.api.events import EventOperations
from hookseal.api.health import HealthOperations
from hookseal.api.keys import KeyOperations
from hookseal.api.openapi import document_of
from hookseal.api.overview import OverviewOperations
from hookseal.api.reference import add_reference
from hookseal.api.tenants import TenantOperations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import web

    from hookseal.api.events import Trace
    from hookseal.api.operations import Operation
    from hookseal.api.ports import (
        AttemptPages,
        Changes,
        Events,
        LetterPages,
        LetterRecords,
        Notices,
        Readiness,
        Replays,
        TenantsModel,
    )
    from hookseal.delivery.ports import Clock
    from hookseal.seal.api_keys import ApiKeys
    from hookseal.seal.sign import SigningSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What the runtime gives the API.

    Attributes:
        event_max_bytes: Bytes of an event's value.
        admin_key: The operator's key; None = no admin access.
        secrets: The endpoints' signing secrets.
        check_url: Returns a URL's canonical form, if an endpoint may have it.
        records: The dead letters, with headers and payload.
        replays: The way of dead letters back to the log.
        needed: Must be ready besides the model and the log.
        trace: Called when events are published.
    """

    model: TenantsModel
    changes: Changes
    events: Events
    event_max_bytes: int
    notices: Notices
    api_keys: ApiKeys
    admin_key: str | None
    secrets: SigningSecrets
    check_url: Callable[[str], str]
    letters: LetterPages
    records: LetterRecords
    attempts: AttemptPages
    replays: Replays
    clock: Clock
    needed: Sequence[Readiness] = ()
    trace: Trace | None = None


def build(parts: ApiParts) -> web.Application:
    """Return the application, with its reference."""
    operations = operations_of(parts)
    authentication = Authentication(
        model=parts.model, api_keys=parts.api_keys, admin_key=parts.admin_key, clock=parts.clock
    )
    app = create_app(operations, authentication)
    add_console(app)
    add_reference(app, lambda: document_of(operations, __version__))
    return app


def operations_of(parts: ApiParts) -> list[Operation]:
    """Return all operations in the order of the documentation."""
    changes = TenantChanges(model=parts.model, changes=parts.changes, clock=parts.clock)
    resources = (
        TenantOperations(
            changes=changes, model=parts.model, api_keys=parts.api_keys, clock=parts.clock
        ),
        KeyOperations(changes=changes, api_keys=parts.api_keys, clock=parts.clock),
        EndpointOperations(
            changes=changes,
            notices=parts.notices,
            secrets=parts.secrets,
            check_url=parts.check_url,
        ),
        EventOperations(
            events=parts.events,
            model=parts.model,
            event_max_bytes=parts.event_max_bytes,
            trace=parts.trace,
        ),
        EventReplayOperations(changes=changes, replays=parts.replays),
        DeliveryOperations(changes=changes, attempts=parts.attempts),
        DeadLetterOperations(
            changes=changes,
            letters=parts.letters,
            records=parts.records,
            replays=parts.replays,
        ),
        OverviewOperations(attempts=parts.attempts, clock=parts.clock),
        HealthOperations((parts.model, parts.events, *parts.needed)),
    )
    return [operation for resource in resources for operation in resource.operations()]
