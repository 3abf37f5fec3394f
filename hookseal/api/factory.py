"""Composes the API from the parts of a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal import __version__
from hookseal.api.app import create_app
from hookseal.api.auth import Authentication
from hookseal.api.commands import TenantChanges
from hookseal.api.dead_letters import DeadLetterOperations
from hookseal.api.deliveries import DeliveryOperations
from hookseal.api.endpoints import EndpointOperations
from hookseal.api.event_rates import EventRates
from hookseal.api.event_replay import EventReplayOperations
from hookseal.api.event_trace import EventTraceOperations
from hookseal.api.events import BATCH_EVENTS_MAX, EventOperations
from hookseal.api.health import HealthOperations
from hookseal.api.keys import KeyOperations
from hookseal.api.openapi import document_of
from hookseal.api.static_files import add_static_files
from hookseal.api.status import StatusOperations
from hookseal.api.tenants import TenantOperations

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from hookseal.api import ports
    from hookseal.api.events import Trace
    from hookseal.api.operations import Operation, Resource
    from hookseal.delivery.ports import Clock
    from hookseal.seal.api_keys import ApiKeys
    from hookseal.seal.sign import SigningSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What a runtime provides for the API.

    Attributes:
        event_max_bytes: Maximum bytes of an event's value.
        tenant_max_events_per_s: Events per second of each tenant; None = no limit.
        admin_key: None disables admin access.
        check_url: Returns the canonical form of a URL that an endpoint may have.
        retry_max_s: Longest sum of an endpoint's own retry delays in seconds.
    """

    model: ports.TenantsModel
    changes: ports.Changes
    events: ports.Events
    event_max_bytes: int
    api_keys: ApiKeys
    admin_key: str | None
    secrets: SigningSecrets
    check_url: Callable[[str], str]
    retry_max_s: float
    letters: ports.LetterPages
    records: ports.LetterRecords
    attempts: ports.AttemptPages
    replays: ports.Replays
    progress: ports.ProgressSource
    search: ports.EventSearch
    clock: Clock
    tenant_max_events_per_s: float | None = None
    trace: Trace | None = None


def build(parts: ApiParts) -> web.Application:
    """Return the application with console, OpenAPI document and Swagger UI."""
    operations = operations_of(parts)
    authentication = Authentication(
        model=parts.model, api_keys=parts.api_keys, admin_key=parts.admin_key, clock=parts.clock
    )
    app = create_app(operations, authentication)
    add_static_files(app, lambda: document_of(operations, __version__))
    return app


def operations_of(parts: ApiParts) -> list[Operation]:
    """Return all operations in the order of the documentation."""
    changes = TenantChanges(model=parts.model, changes=parts.changes, clock=parts.clock)
    resources: tuple[Resource, ...] = (
        TenantOperations(changes=changes, api_keys=parts.api_keys),
        KeyOperations(changes=changes, api_keys=parts.api_keys),
        EndpointOperations(
            changes=changes,
            events=parts.events,
            secrets=parts.secrets,
            check_url=parts.check_url,
            retry_max_s=parts.retry_max_s,
        ),
        EventOperations(
            events=parts.events,
            model=parts.model,
            event_max_bytes=parts.event_max_bytes,
            rates=EventRates(
                parts.tenant_max_events_per_s, batch_max=BATCH_EVENTS_MAX, clock=parts.clock
            ),
            trace=parts.trace,
        ),
        EventReplayOperations(changes=changes, replays=parts.replays),
        EventTraceOperations(
            changes=changes,
            search=parts.search,
            progress=parts.progress,
            attempts=parts.attempts,
            letters=parts.letters,
        ),
        DeliveryOperations(changes=changes, index=parts.attempts),
        StatusOperations(
            changes=changes,
            progress=parts.progress,
            attempts=parts.attempts,
            letters=parts.letters,
        ),
        DeadLetterOperations(
            changes=changes, letters=parts.letters, records=parts.records, replays=parts.replays
        ),
        HealthOperations((parts.model, parts.events)),
    )
    return [operation for resource in resources for operation in resource.operations()]
