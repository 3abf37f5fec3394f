"""The engine on fakes, wired as the worker wires it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.delivery.attempt import DeliveryRules
from hookseal.delivery.delivery import Deliverer
from hookseal.delivery.fanout import Fanout
from hookseal.delivery.handler import EventHandler
from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.suspension import SuspensionManager, SuspensionRules
from hookseal.domain.backoff import Backoff
from hookseal.seal.sign import SigningSecrets
from hookseal.seal.vault import EventVault
from tests.builders import MASTER_KEY, MAX_BYTES, a_tenant
from tests.fakes import (
    FakeClock,
    FakeCommands,
    FakeDeadLetters,
    FakeDeferredEvents,
    FakeRouter,
    FakeTenants,
    FakeTransport,
    RecordingObserver,
)

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant


class Engine:
    """Everything from a record to its requests and dead letters."""

    def __init__(
        self,
        *tenants: Tenant,
        backoff: Backoff | None = None,
        clock: FakeClock | None = None,
        rules: SuspensionRules | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.tenants = FakeTenants(*(tenants or (a_tenant(),)))
        self.transport = FakeTransport()
        self.commands = FakeCommands(self.tenants)
        self.dead_letters = FakeDeadLetters()
        self.router = FakeRouter()
        self.observer = RecordingObserver()
        self.secrets = SigningSecrets(MASTER_KEY)
        self.vault = EventVault("events", [MASTER_KEY])
        self.letters = FakeDeferredEvents(self.dead_letters)
        self._backoff = backoff or Backoff(jitter=0)
        self._rules = rules or SuspensionRules()
        self.restart()

    def restart(self) -> None:
        """Begin as a new process does: what stands on topics and in the table stays."""
        self.backoff = BackoffWaits()
        self.deliverer = Deliverer(
            tenants=self.tenants,
            transport=self.transport,
            secrets=self.secrets,
            vault=self.vault,
            commands=self.commands,
            observer=self.observer,
            clock=self.clock,
            backoff=self.backoff,
            rules=DeliveryRules(self._backoff),
        )
        self.suspensions = SuspensionManager(
            tenants=self.tenants,
            commands=self.commands,
            letters=self.letters,
            dead_letters=self.dead_letters,
            deliverer=self.deliverer,
            backoff=self.backoff,
            observer=self.observer,
            clock=self.clock,
            rules=self._rules,
        )
        self.commands.on_change = self.suspensions.changed
        self.fanout = Fanout(
            deliverer=self.deliverer,
            dead_letters=self.dead_letters,
            suspensions=self.suspensions,
            observer=self.observer,
            clock=self.clock,
        )
        self.deliver = EventHandler(
            tenants=self.tenants,
            fanout=self.fanout,
            router=self.router,
            dead_letters=self.dead_letters,
            observer=self.observer,
            clock=self.clock,
            event_max_bytes=MAX_BYTES,
            broadcast_concurrency=4,
        )

    def context(self, partition: int = 0) -> PartitionContext:
        return PartitionContext(partition, clock=self.clock, observer=self.observer)
