"""Builds the delivery engine, and the HTTP transport, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from hookseal.delivery.attempt import Attempts, DeliveryRules
from hookseal.delivery.delivery import Deliverer
from hookseal.delivery.handler import EventHandler
from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.suspension import SuspensionManager
from hookseal.outbound.client import HttpTransport
from hookseal.outbound.guard import EgressPolicy
from hookseal.seal.sign import SigningSecrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.config import Settings
    from hookseal.delivery.ports import Ports

_log = structlog.stdlib.get_logger("hookseal.worker")


class Engine(NamedTuple):
    """The handler of events and the manager of suspended endpoints."""

    handler: EventHandler
    suspensions: SuspensionManager


def build_engine(settings: Settings, ports: Ports) -> Engine:
    """Build the engine.

    Raises:
        ConfigurationError: `master_key_missing`.
    """
    backoff = BackoffWaits()
    attempts = Attempts(
        ports,
        backoff,
        secrets=SigningSecrets(*settings.master_keys()),
        vault=settings.event_vault(),
        rules=DeliveryRules(
            settings.backoff,
            settings.attempt_timeout_s,
            settings.retry_after_cap_s,
            settings.endpoint_retry_max_s,
        ),
    )
    deliverer = Deliverer(ports, attempts, backoff)
    suspensions = SuspensionManager(
        ports,
        deliverer,
        backoff,
        settings.suspension_rules,
        at_a_time=settings.max_in_flight,
        each=settings.max_in_flight_per_customer,
        grace_s=settings.shutdown_grace_s,
    )
    handler = EventHandler(
        ports,
        deliverer,
        suspensions,
        event_max_bytes=settings.event_max_bytes,
        broadcast_concurrency=settings.broadcast_concurrency,
    )
    return Engine(handler, suspensions)


def build_transport(
    settings: Settings, *, on_blocked: Callable[[str, int, str], None]
) -> HttpTransport:
    """Return the HTTP transport with the egress policy of the settings."""
    return HttpTransport(
        EgressPolicy(
            allow_cidrs=settings.egress_allow_cidrs,
            deny_cidrs=settings.egress_deny_cidrs,
            allow_http=settings.egress_allow_http,
            allow_ports=settings.egress_allow_ports,
        ),
        ssl_context=settings.egress_tls(),
        on_blocked=on_blocked,
    )


def warn_of_open_egress(settings: Settings) -> None:
    """Warn if the settings allow endpoints that are refused by default."""
    networks = [str(network) for network in settings.egress_allow_cidrs]
    if networks or settings.egress_allow_http or settings.egress_allow_ports:
        _log.warning(
            "egress.restrictions_relaxed",
            hint="For development only: the worker connects to endpoints that it refuses by "
            "default. Unset HOOKSEAL_EGRESS_ALLOW_* in production.",
            networks=networks,
            http=settings.egress_allow_http,
            ports=settings.egress_allow_ports,
        )
