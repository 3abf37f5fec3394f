"""Commit before partitions are revoked, and never between two generations.

Symptom: a commit that finds another one running waits for that one and commits nothing itself, so
the last commit before a stop or a revocation may lack the latest offsets. At each rebalance Faust
drops what was acknowledged since the last commit, of all partitions, so the next owner delivers it
again (upstream issue 502). A commit that crosses the change of the group's generation is refused,
and aiokafka joins once more: each rebalance brings another. Actors go on until partitions are
assigned, and begin events that another worker has.
Patches: Consumer.commit, .on_partitions_revoked.
Test: TestCommittable.test_waits_while_the_group_is_between_two_generations,
TestTheLastCommit.
Drop when: a Faust release commits in `on_partitions_revoked` and pauses its actors there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.faust_patches.known_start import KnownStart

if TYPE_CHECKING:
    from faust.types import TP

    from streams.faust_app import HooksealApp
    from streams.membership import Membership


class RevocationCommit(KnownStart):
    """A consumer that lets running requests end, then commits, when partitions are revoked."""

    app: HooksealApp
    membership: Membership

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._revoking = False
        super().__init__(*args, **kwargs)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        """Commit the done offsets, unless the group is between two generations."""
        if self.app.rebalancing and not self._revoking:
            return False
        is_last, running = self._revoking or self.should_stop, self._commit_fut is not None
        is_done = await super().commit(topics, start_new_transaction)
        if is_last and running:
            # Faust has waited for a commit of earlier offsets, and has committed nothing itself.
            is_done = await super().commit(topics, start_new_transaction)
        return is_done

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let running requests end, start no others, and commit before the partitions go."""
        self._revoking = True
        try:
            await self.app.lifecycle.flush_before_revoke()
            await self.commit()
        except Exception as error:  # noqa: BLE001 - a failed commit costs repeats, no more
            self.log.warning("commit on revocation failed: %r", error)
        finally:
            self._revoking = False
            self._unknown |= revoked
            for tp in revoked:
                self._starts.pop(tp, None)
        if self._lost_membership():
            await self.app.lifecycle.reset_partitions(revoked)
        await super().on_partitions_revoked(revoked)

    def _lost_membership(self) -> bool:
        """Return whether another worker may have had a partition that comes back right now."""
        thread: Any = self._thread
        client = thread._consumer  # noqa: SLF001
        coordinator = None if client is None else client._coordinator  # noqa: SLF001
        is_member = coordinator is None or bool(getattr(coordinator, "member_id", ""))
        return self.membership.has_lapsed or not is_member
