"""No loss, no disorder, no commit too far: whatever receivers answer and owners do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.partition_model import CUSTOMERS, EVERYBODY, Partition, steps

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hookseal.domain.endpoint import EndpointOrdering, Ordering

statuses = st.sampled_from([200, 200, 200, 500, 503, 410])


class Machine(RuleBasedStateMachine):
    """Publishes, answers, lets time pass, commits, rebalances and crashes, in any order."""

    ordering: ClassVar[Ordering]
    suspend_after: ClassVar[int] = 0
    relaxed: ClassVar[dict[str, EndpointOrdering]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.run(self.begin())

    def run(self, doing: Coroutine[None, None, None]) -> None:
        self.loop.run_until_complete(doing)

    async def begin(self) -> None:
        self.partition = Partition(
            self.ordering, attempts=2, suspend_after=self.suspend_after, relaxed=self.relaxed
        )

    @rule(
        customer=st.sampled_from([*CUSTOMERS, *CUSTOMERS, EVERYBODY]),
        ordering_keys=st.lists(st.sampled_from("kl"), min_size=1, max_size=6),
    )
    def publish(self, customer: str, ordering_keys: list[str]) -> None:
        for ordering_key in ordering_keys:
            self.partition.publish(customer, ordering_key)
        self.run(steps())

    @rule(number=st.integers(0, 5), status=statuses)
    def answer(self, number: int, status: int) -> None:
        self.partition.answer(number, status)
        self.run(steps())

    @rule(status=statuses)
    def answer_all(self, status: int) -> None:
        self.partition.answer_all(status)
        self.run(steps())

    @rule()
    def time_passes(self) -> None:
        self.partition.clock.wake()
        self.run(steps())

    @rule()
    def commit(self) -> None:
        self.partition.commit()

    @rule(late=st.none() | statuses)
    def rebalance(self, late: int | None) -> None:
        self.run(self.partition.rebalance(late))

    @rule()
    def crash(self) -> None:
        self.run(self.partition.crash())

    @invariant()
    def nothing_was_attempted_too_early(self) -> None:
        assert self.partition.violations == []

    @invariant()
    def attempts_are_bounded(self) -> None:
        if self.ordering != "partition":
            # What was set aside has a lane, and so a bound, of its own.
            lanes = 2 if self.suspend_after else 1
            assert len(self.partition.wire) <= self.partition.at_a_time * lanes

    def teardown(self) -> None:
        try:
            self.run(self.partition.finish())
        finally:
            self.loop.close()


class PartitionMachine(Machine):
    ordering = "partition"


class CustomerMachine(Machine):
    ordering = "customer"


class EndpointMachine(Machine):
    ordering = "endpoint"


class KeyMachine(Machine):
    ordering = "key"


class UnorderedMachine(Machine):
    ordering = "unordered"


class SuspendingPartitionMachine(PartitionMachine):
    suspend_after = 2


class SuspendingCustomerMachine(CustomerMachine):
    suspend_after = 2


class SuspendingEndpointMachine(EndpointMachine):
    suspend_after = 2


class SuspendingKeyMachine(KeyMachine):
    suspend_after = 2


class SuspendingUnorderedMachine(UnorderedMachine):
    suspend_after = 2


class Relaxing(Machine):
    """Endpoints with looser modes of their own, which also change."""

    suspend_after = 2
    relaxed: ClassVar[dict[str, EndpointOrdering]] = {"a2": "endpoint", "c1": "key"}

    @rule(
        endpoint=st.sampled_from(["a1", "a2", "b1"]),
        own=st.sampled_from(["endpoint", "endpoint", "key", "unordered", None]),
    )
    def relax(self, endpoint: str, own: EndpointOrdering | None) -> None:
        self.run(self.partition.relax(endpoint, own))
        self.run(steps())


class RelaxingPartitionMachine(Relaxing):
    ordering = "partition"


class RelaxingCustomerMachine(Relaxing):
    ordering = "customer"


class RelaxingEndpointMachine(Relaxing):
    ordering = "endpoint"


class RelaxingKeyMachine(Relaxing):
    ordering = "key"


class RelaxingUnorderedMachine(Relaxing):
    ordering = "unordered"


_settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestPartition = PartitionMachine.TestCase
TestCustomer = CustomerMachine.TestCase
TestEndpoint = EndpointMachine.TestCase
TestKey = KeyMachine.TestCase
TestUnordered = UnorderedMachine.TestCase
TestSuspendingPartition = SuspendingPartitionMachine.TestCase
TestSuspendingCustomer = SuspendingCustomerMachine.TestCase
TestSuspendingEndpoint = SuspendingEndpointMachine.TestCase
TestSuspendingKey = SuspendingKeyMachine.TestCase
TestSuspendingUnordered = SuspendingUnorderedMachine.TestCase
TestRelaxingPartition = RelaxingPartitionMachine.TestCase
TestRelaxingCustomer = RelaxingCustomerMachine.TestCase
TestRelaxingEndpoint = RelaxingEndpointMachine.TestCase
TestRelaxingKey = RelaxingKeyMachine.TestCase
TestRelaxingUnordered = RelaxingUnorderedMachine.TestCase
for _case in (
    TestPartition,
    TestCustomer,
    TestEndpoint,
    TestKey,
    TestUnordered,
    TestSuspendingPartition,
    TestSuspendingCustomer,
    TestSuspendingEndpoint,
    TestSuspendingKey,
    TestSuspendingUnordered,
    TestRelaxingPartition,
    TestRelaxingCustomer,
    TestRelaxingEndpoint,
    TestRelaxingKey,
    TestRelaxingUnordered,
):
    _case.settings = _settings
# Otherwise it would be collected once more under this name.
del _case
