"""What goes wrong, and when: all of it follows from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KINDS", "Fault", "FaultKind", "Mood", "Stretch", "faults", "moods"]

FaultKind = Literal[
    "kill_worker",
    "freeze_worker",
    "add_worker",
    "remove_worker",
    "kill_broker",
    "kill_api",
    "pause_endpoint",
    "open_transaction",
]
Mood = Literal["fail", "hang", "reset", "late", "slow"]

KINDS: dict[FaultKind, int] = {
    "kill_worker": 10,
    "freeze_worker": 3,
    "add_worker": 1,
    "remove_worker": 2,
    "kill_broker": 2,
    "kill_api": 2,
    "pause_endpoint": 3,
    "open_transaction": 2,
}
# Seconds that a mood lasts. A receiver that fails for longer than all attempts take is suspended,
# and so is one that is too slow for what it gets.
_MOODS: dict[Mood, tuple[float, float]] = {
    "fail": (2, 40),
    "hang": (2, 20),
    "reset": (2, 40),
    "late": (2, 8),
    "slow": (10, 40),
}
_TROUBLED = 0.25


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing done to the deployment.

    Attributes:
        at_s: Seconds from the beginning.
        kind: What is done.
        pick: To which of those there are, modulo their number.
        for_s: Seconds until it is undone: thawed, started again, resumed or aborted.
    """

    at_s: float
    kind: FaultKind
    pick: int
    for_s: float


class Stretch(NamedTuple):
    """A receiver's mood from one second to another."""

    start_s: float
    end_s: float
    mood: Mood


def faults(
    seed: int,
    seconds: float,
    *,
    every_s: float,
    session_timeout_s: float,
    only: Sequence[FaultKind] = (),
) -> list[Fault]:
    """Return the faults, one about every so many seconds; each kind at least once if it fits.

    Args:
        seed: They follow from it.
        seconds: In which they happen.
        every_s: Seconds between two, about.
        session_timeout_s: A frozen worker is frozen for longer.
        only: Nothing but these; all kinds if empty.
    """
    chance = random.Random(seed)  # noqa: S311 - to be the same again, not to be secret
    count = int(seconds / every_s)
    kinds: list[FaultKind] = list(only or KINDS)
    weights = [KINDS[kind] for kind in kinds]
    kinds += chance.choices(kinds, weights, k=max(0, count - len(kinds)))
    chance.shuffle(kinds)
    return [
        Fault(
            at_s=(number + 0.5 + chance.uniform(-0.3, 0.3)) * every_s,
            kind=kind,
            pick=chance.randrange(1000),
            for_s=(
                session_timeout_s * chance.uniform(1.3, 2)
                if kind == "freeze_worker"
                else chance.uniform(0.5, 6)
            ),
        )
        for number, kind in enumerate(kinds[:count])
    ]


def moods(seed: int, receivers: list[str], seconds: float) -> dict[str, list[Stretch]]:
    """Return the bad stretches of those receivers that have some."""
    chance = random.Random(seed + 1)  # noqa: S311 - the same
    found = {}
    for receiver in receivers:
        if chance.random() < _TROUBLED:
            starts = sorted(chance.uniform(0, seconds) for _ in range(chance.randint(1, 3)))
            chosen = [(start, chance.choice(list(_MOODS))) for start in starts]
            found[receiver] = [
                Stretch(start, start + chance.uniform(*_MOODS[mood]), mood)
                for start, mood in chosen
            ]
    return found
