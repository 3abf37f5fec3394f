"""Selects the dead letters of a replay, and counts them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hookseal.domain.dead_letter import REASONS, SUSPENDED
from hookseal.domain.letter import ReplayPlan
from hookseal.domain.replay import NOT_REPLAYABLE

if TYPE_CHECKING:
    from hookseal.dead_letters.index.letters import Letters
    from hookseal.domain.letter_filter import LetterFilter

_REPLAYABLE = frozenset(REASONS) - NOT_REPLAYABLE


async def plan_of(index: Letters, wanted: LetterFilter) -> ReplayPlan:
    """Return what a replay would do.

    Replayed letters are counted separately, whatever the filter says of them.
    """
    reasons = _meant(wanted)

    async def count(of: frozenset[str], *, replayed: bool | None) -> int:
        narrowed = replace(wanted, reasons=of, replayed=replayed, has_customer=True)
        return sum((await index.counts(narrowed)).values())

    return ReplayPlan(
        to_replay=await count(reasons & _REPLAYABLE, replayed=False),
        replayed=await count(reasons & _REPLAYABLE, replayed=True),
        not_replayable=await count(reasons & NOT_REPLAYABLE, replayed=None),
    )


def to_replay(wanted: LetterFilter) -> LetterFilter:
    """Return the filter of the letters to publish."""
    reasons = _meant(wanted) & _REPLAYABLE
    return replace(wanted, reasons=reasons, replayed=False, has_customer=True)


def _meant(wanted: LetterFilter) -> frozenset[str]:
    """Return the reasons that the replay includes.

    Deferred events of a suspended endpoint are redelivered automatically, and a replay would
    duplicate them. They are included only if the filter names nothing else.
    """
    reasons = frozenset(REASONS) if wanted.reasons is None else wanted.reasons
    if wanted.places is not None or reasons == {SUSPENDED}:
        return reasons
    return reasons - {SUSPENDED}
