"""The engine on fakes, wired as the worker wires it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.deliver import Deliver
from hookseal.delivery.deliverer import Deliverer, DeliveryRules
from hookseal.delivery.fanout import Fanout
from hookseal.delivery.lane import Lane
from hookseal.delivery.suspension import SuspensionRules, Suspensions
from hookseal.delivery.trouble import Trouble
from hookseal.domain.backoff import Backoff
from hookseal.seal.event_vault import EventVault
from hookseal.seal.sign import SigningSecrets
from tests.builders import MASTER_KEY, MAX_BYTES, a_tenant
from tests.fakes import (
    FakeClock,
    FakeCommands,
    FakeDeadLetters,
    FakeRouter,
    FakeSetAside,
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
        self.letters = FakeSetAside(self.dead_letters)
        self._backoff = backoff or Backoff(jitter=0)
        self._rules = rules or SuspensionRules()
        self.restart()

    def restart(self) -> None:
        """Begin as a new process does: what stands on topics and in the table stays."""
        self.trouble = Trouble()
        self.deliverer = Deliverer(
            tenants=self.tenants,
            transport=self.transport,
            secrets=self.secrets,
            vault=self.vault,
            commands=self.commands,
            observer=self.observer,
            clock=self.clock,
            trouble=self.trouble,
            rules=DeliveryRules(self._backoff),
        )
        self.suspensions = Suspensions(
            tenants=self.tenants,
            commands=self.commands,
            letters=self.letters,
            dead_letters=self.dead_letters,
            deliverer=self.deliverer,
            trouble=self.trouble,
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
        self.deliver = Deliver(
            tenants=self.tenants,
            fanout=self.fanout,
            router=self.router,
            dead_letters=self.dead_letters,
            observer=self.observer,
            clock=self.clock,
            event_max_bytes=MAX_BYTES,
            broadcast_concurrency=4,
        )

    def lane(self, partition: int = 0) -> Lane:
        return Lane(partition, clock=self.clock, observer=self.observer)
