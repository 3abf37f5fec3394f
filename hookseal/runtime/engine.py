"""Builds the delivery engine over the ports of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hookseal.delivery.attempt import DeliveryRules
from hookseal.delivery.delivery import Deliverer
from hookseal.delivery.fanout import Fanout
from hookseal.delivery.handler import EventHandler
from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.suspension import SuspensionManager
from hookseal.seal.sign import SigningSecrets

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.delivery.ports import (
        Clock,
        Commands,
        DeadLetters,
        DeferredEventStore,
        Observer,
        Router,
        Tenants,
        Transport,
    )
    from hookseal.delivery.tracing import Tracing


class Engine(NamedTuple):
    """The handler of events and the manager of suspended endpoints, ready to use."""

    handler: EventHandler
    suspensions: SuspensionManager


def build_engine(
    settings: Settings,
    *,
    tenants: Tenants,
    transport: Transport,
    commands: Commands,
    letters: DeferredEventStore,
    dead_letters: DeadLetters,
    router: Router,
    observer: Observer,
    clock: Clock,
    tracing: Tracing | None,
) -> Engine:
    """Build the engine.

    Raises:
        ConfigurationError: `master_key_missing`.
    """
    backoff = BackoffWaits()
    deliverer = Deliverer(
        tenants=tenants,
        transport=transport,
        secrets=SigningSecrets(*settings.master_keys()),
        vault=settings.event_vault(),
        commands=commands,
        observer=observer,
        clock=clock,
        backoff=backoff,
        rules=DeliveryRules(
            settings.backoff, settings.attempt_timeout_s, settings.retry_after_cap_s
        ),
        tracing=tracing,
    )
    suspensions = SuspensionManager(
        tenants=tenants,
        commands=commands,
        letters=letters,
        dead_letters=dead_letters,
        deliverer=deliverer,
        backoff=backoff,
        observer=observer,
        clock=clock,
        rules=settings.suspension_rules,
    )
    handler = EventHandler(
        tenants=tenants,
        fanout=Fanout(
            deliverer=deliverer,
            dead_letters=dead_letters,
            suspensions=suspensions,
            observer=observer,
            clock=clock,
        ),
        router=router,
        dead_letters=dead_letters,
        observer=observer,
        clock=clock,
        event_max_bytes=settings.event_max_bytes,
        broadcast_concurrency=settings.broadcast_concurrency,
    )
    return Engine(handler, suspensions)
