"""Keep the subscription from start to stop.

Symptom: when an isolated actor ends, Faust changes the subscription. 45 s after each rebalance that
moved a partition the worker subscribes again, which is another rebalance; a stop in between waits
for it (a worker hung for 60 s at SIGTERM). At shutdown the assignment is dropped before the last
commit. A worker that lost its last partition never subscribes again.
Patches: Conductor.discard.
Test: TestConductor.
Drop when: a Faust release leaves the subscription alone when an isolated actor ends.
"""

from __future__ import annotations

from typing import Any

from faust.transport.conductor import Conductor


class StaticSubscriptionConductor(Conductor):
    """A conductor with the same topics from start to stop."""

    def discard(self, topic: Any) -> None:
        """Forget the actor's channel; the topic stays subscribed."""
        self._topics.discard(topic)
