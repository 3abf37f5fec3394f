"""What the demo wrote down itself: what it published, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Arrival", "Ledger", "Letter"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that a receiver verified and opened.

    Attributes:
        event_id: From the opened event.
        status: What the receiver answered.
        at_s: Seconds since the demo began.
    """

    event_id: str
    status: int
    at_s: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the answer was 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - 2xx


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of `dead-letters`.

    Attributes:
        event_id: As its header says.
        reason: As its header says.
        attempts: As its header says.
        value: The record's value.
        place: `PARTITION/OFFSET`.
        headers: What hookseal added, by name.
    """

    event_id: str
    reason: str
    attempts: int
    value: bytes = field(repr=False)
    place: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Ledger:
    """One tenant's account.

    Attributes:
        customer_id: Whose.
        may_fail: Whether dead letters are expected: its receiver is down.
        published: The value of each event, by event id, in the order of publication.
        acknowledged: How many of them the broker has acknowledged.
        arrivals: Requests in the order of their arrival.
        refused: Codes of requests that could not be verified and opened.
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
    def is_settled(self) -> bool:
        """Whether each published event is accepted or dead-lettered."""
        return self.published.keys() <= self.accepted | self.dead

    @property
    def repeats(self) -> int:
        """Requests for events that had been accepted already."""
        return len(self.arrivals) - sum(self._needed().values())

    @property
    def retries(self) -> int:
        """Attempts after the first, up to acceptance or the dead letter."""
        dead = self.dead
        seen = sum(count - 1 for event_id, count in self._needed().items() if event_id not in dead)
        return seen + sum(letter.attempts - 1 for letter in self.letters)

    def _needed(self) -> dict[str, int]:
        """Return each event's requests, up to the first that was accepted."""
        counts: dict[str, int] = {}
        accepted: set[str] = set()
        for arrival in self.arrivals:
            if arrival.event_id not in accepted:
                counts[arrival.event_id] = counts.get(arrival.event_id, 0) + 1
            if arrival.is_accepted:
                accepted.add(arrival.event_id)
        return counts
