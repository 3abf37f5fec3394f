"""What the demo shows: six tenants, and the events they get. Pure: a seed, a plan."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookseal.seal.keys import KeyKind

__all__ = [
    "PARTITIONS",
    "SCENARIO",
    "Behaviour",
    "Planned",
    "ReceiverBehaviour",
    "is_failing",
    "planned_events",
]

PARTITIONS = 6
_TYPES = ("order.created", "order.paid", "order.shipped")
_FAILS_EVERY = 6
_DOWN_SHARE = 40
_DOWN_MIN, _DOWN_MAX = 2, 8


class ReceiverBehaviour(Enum):
    """How a tenant's receiver behaves."""

    WELL = "up"
    NOW_AND_THEN = "some 503s"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One tenant of the demo.

    Attributes:
        customer_id: Chosen so that each of the six partitions has one of them: whoever
            is down holds its own partition, and one can see that it holds no other.
        alg: Kind of its key, as `hookseal keys generate` names it.
        behaviour: How its receiver behaves.
    """

    customer_id: str
    alg: KeyKind
    behaviour: ReceiverBehaviour = ReceiverBehaviour.WELL


SCENARIO = (
    Behaviour("acme", "rsa-4096"),
    Behaviour("northwind", "rsa-3072", ReceiverBehaviour.DOWN),
    Behaviour("monarch", "rsa-2048"),
    Behaviour("bluth", "p256"),
    Behaviour("wingtip", "x25519"),
    Behaviour("tailspin", "p256", ReceiverBehaviour.NOW_AND_THEN),
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One event to publish."""

    customer_id: str
    event_id: str
    event_type: str
    data: bytes


def planned_events(count: int, seed: int) -> list[Planned]:
    """Return the events in the order of their publication.

    Args:
        count: How many, of which the tenant that is down gets a few: each holds its
            partition for a whole schedule of attempts.
        seed: The same seed makes the same events.
    """
    chance = random.Random(seed)  # noqa: S311 - a plan, not a secret
    down = max(_DOWN_MIN, min(_DOWN_MAX, count // _DOWN_SHARE))
    others = [role.customer_id for role in SCENARIO if role.behaviour is not ReceiverBehaviour.DOWN]
    turns = [
        role.customer_id for role in SCENARIO if role.behaviour is ReceiverBehaviour.DOWN
    ] * down
    turns += [others[number % len(others)] for number in range(count - down)]
    chance.shuffle(turns)
    return [
        Planned(
            customer_id,
            f"evt_{seed}_{number}",
            chance.choice(_TYPES),
            json.dumps(
                {"order": f"A-{chance.randrange(10**6):06}", "total": chance.randrange(100, 99_999)}
            ).encode(),
        )
        for number, customer_id in enumerate(turns, 1)
    ]


def is_failing(request: int, seed: int) -> bool:
    """Return whether the receiver that fails now and then fails this request.

    Args:
        request: Counted from 1, attempts of one event each for itself.
        seed: Decides which of six requests in a row it is; never two in a row.
    """
    return request % _FAILS_EVERY == seed % _FAILS_EVERY
