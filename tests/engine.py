"""The engine on fakes, wired as the worker wires it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookseal.delivery.attempt import Attempts, DeliveryRules
from hookseal.delivery.delivery import Deliverer
from hookseal.delivery.handler import EventHandler
from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.ports import Ports
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
        self._rules = rules or SuspensionRules(after=10)
        self.restart()

    def restart(self) -> None:
        """Begin as a new process does: what stands on topics and in the table stays."""
        self.backoff = BackoffWaits()
        self.deliverer = self.deliverer_with()
        self.suspensions = SuspensionManager(
            self.ports(), self.deliverer, self.backoff, self._rules
        )
        self.commands.on_change = self.suspensions.changed
        self.deliver = EventHandler(
            self.ports(),
            self.deliverer,
            self.suspensions,
            event_max_bytes=MAX_BYTES,
            broadcast_concurrency=4,
        )

    def ports(self, **others: Any) -> Ports:
        held = {
            "tenants": self.tenants,
            "transport": self.transport,
            "commands": self.commands,
            "letters": self.letters,
            "dead_letters": self.dead_letters,
            "router": self.router,
            "observer": self.observer,
            "clock": self.clock,
            "gate": lambda _: None,
        }
        return Ports(**{**held, **others})

    def deliverer_with(self, backoff: Backoff | None = None, **others: Any) -> Deliverer:
        """Return a deliverer that has other ports, or another retry policy."""
        attempts = Attempts(
            self.ports(**others),
            self.backoff,
            secrets=self.secrets,
            vault=self.vault,
            rules=DeliveryRules(backoff or self._backoff),
        )
        return Deliverer(self.ports(**others), attempts, self.backoff)

    def context(self, partition: int = 0) -> PartitionContext:
        return PartitionContext(partition, clock=self.clock, observer=self.observer)
