"""What the demo records itself, per tenant: published events, requests and dead letters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Arrival(NamedTuple):
    """One request that a receiver verified and decrypted.

    Attributes:
        status: The receiver's answer.
        at_s: Seconds since the start of the demo.
    """

    event_id: str
    status: int
    at_s: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the answer was 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - 2xx


class Letter(NamedTuple):
    """One record of `dead-letters`; `headers` are those that hookseal added, by name."""

    event_id: str
    reason: str
    attempts: int
    value: bytes
    id: str
    headers: dict[str, str]


@dataclass(slots=True)
class Ledger:
    """The records of one tenant.

    Attributes:
        may_fail: Dead letters are expected, because the receiver is down.
        published: The value of each event by event id, in the order of publication.
        acknowledged: Number of events that the broker acknowledged.
        arrivals: Requests in the order of arrival.
        refused: Codes of requests that could not be verified and decrypted.
        letters: Dead letters in the order of the topic.
    """

    customer_id: str
    may_fail: bool = False
    published: dict[str, bytes] = field(default_factory=dict)
    acknowledged: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    @property
    def accepted(self) -> set[str]:
        """The ids of accepted events."""
        return {arrival.event_id for arrival in self.arrivals if arrival.is_accepted}

    @property
    def dead(self) -> set[str]:
        """The ids of dead-lettered events."""
        return {letter.event_id for letter in self.letters}

    @property
    def is_complete(self) -> bool:
        """Whether each published event is accepted or dead-lettered."""
        return self.published.keys() <= self.accepted | self.dead

    @property
    def repeats(self) -> int:
        """Requests for events that had been accepted before."""
        return len(self.arrivals) - sum(self._requests().values())

    @property
    def retries(self) -> int:
        """Attempts after the first one, up to acceptance or the dead letter."""
        dead = self.dead
        requests = self._requests().items()
        seen = sum(count - 1 for event_id, count in requests if event_id not in dead)
        return seen + sum(letter.attempts - 1 for letter in self.letters)

    def _requests(self) -> dict[str, int]:
        """Return the number of requests of each event, up to the first accepted one."""
        counts: dict[str, int] = {}
        accepted: set[str] = set()
        for arrival in self.arrivals:
            if arrival.event_id not in accepted:
                counts[arrival.event_id] = counts.get(arrival.event_id, 0) + 1
            if arrival.is_accepted:
                accepted.add(arrival.event_id)
        return counts
