"""Stop the actors of revoked partitions in parallel.

Symptom: Faust stops them one after the other. With an attempt of 15 s running in each, the worker
misses the rebalance and loses its membership.
Patches: Agent.on_isolated_partitions_revoked.
Test: test_nothing_is_lost_and_order_is_kept_while_workers_join_and_leave.
Drop when: a Faust release stops them in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.agents import Agent

if TYPE_CHECKING:
    from faust.types import TP

    from streams.faust_app import HooksealApp


class ParallelRevocationAgent(Agent):
    """An agent whose partitions end in parallel."""

    app: HooksealApp

    async def on_isolated_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop these partitions, then their actors."""
        await self.app.lifecycle.on_revoked(revoked)
        await super().on_isolated_partitions_revoked(revoked)
