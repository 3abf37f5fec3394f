"""Where an event is: the state of its delivery to each endpoint, and the reason."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from hookseal.domain.dead_letter import REASONS, SUSPENDED
from hookseal.domain.event import is_reserved
from hookseal.domain.progress import is_in_backoff
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.event import Event
    from hookseal.domain.letter import Attempted, Letter
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant

DeliveryState = Literal[
    "dead_lettered", "deferred", "backoff", "waiting", "failed", "unknown", "accepted", "skipped"
]
EventState = Literal[DeliveryState, "never_seen"]

# The state of an event is the first of these that one of its deliveries has.
_BY_URGENCY: tuple[DeliveryState, ...] = (
    "dead_lettered",
    "failed",
    "deferred",
    "backoff",
    "waiting",
    "unknown",
    "accepted",
    "skipped",
)
_PATTERNS_SHOWN = 5


class FoundEvent(NamedTuple):
    """The record of an event; `event` is None if the record is not a valid event."""

    record: Record
    event: Event | None


class Search(NamedTuple):
    """The result of a search on `events`.

    Attributes:
        partitions: Those that were searched.
        records: Number of offsets that were searched.
        is_complete: Whether these are all records since the time that was asked for.
        waiting_before: Without Kafka: the number of events before it that are not done. Events
            are deleted there when they are done. None with Kafka, where they stay.
    """

    found: FoundEvent | None
    partitions: tuple[int, ...]
    records: int
    is_complete: bool = True
    waiting_before: int | None = None


class DeliveryTrace(NamedTuple):
    """The delivery of an event to one endpoint; `attempts` are in their order.

    `endpoint_id` is None for a dead letter of the whole event.
    """

    endpoint_id: str | None
    state: DeliveryState
    detail: str
    attempts: Sequence[Attempted] = ()
    letter: Letter | None = None


class Traced(NamedTuple):
    """All that is known of an event of one customer.

    Attributes:
        tenant: None if no tenant has the customer id.
        event_type: None if unknown.
        only_endpoint: The only endpoint of a test or a replay.
        is_done: Whether the offset of the event is done; None = unknown.
    """

    tenant: Tenant | None
    event_type: str | None
    only_endpoint: str | None
    is_done: bool | None
    attempts: Sequence[Attempted]
    letters: Sequence[Letter]


def deliveries_of(known: Traced) -> list[DeliveryTrace]:
    """Return the deliveries of the event: of each endpoint, and of dead letters without one."""
    whole = [one for one in known.letters if one.endpoint_id is None and one.replayed_at_ms is None]
    if whole:
        # The event was not delivered to any endpoint.
        letter = max(whole, key=attrgetter("at_ms"))
        return [DeliveryTrace(None, "dead_lettered", _letter_text(letter), (), letter)]
    tenant = known.tenant
    endpoints = {} if tenant is None else {one.id: one for one in tenant.endpoints}
    if known.only_endpoint is not None:
        endpoints = {key: one for key, one in endpoints.items() if key == known.only_endpoint}
    # Removed endpoints still have their history.
    names = [
        *endpoints,
        *(one.endpoint_id for one in known.attempts),
        *(one.endpoint_id for one in known.letters if one.endpoint_id is not None),
    ]
    return [_delivery(name, endpoints.get(name), known) for name in dict.fromkeys(names)]


def state_of_all(deliveries: Iterable[DeliveryTrace]) -> DeliveryState:
    """Return the state of an event from those of its deliveries; `skipped` without one."""
    states = {one.state for one in deliveries}
    return next((state for state in _BY_URGENCY if state in states), "skipped")


def _delivery(name: str, endpoint: Endpoint | None, known: Traced) -> DeliveryTrace:
    attempts = sorted(
        (one for one in known.attempts if one.endpoint_id == name),
        key=attrgetter("at_ms", "attempt"),
    )
    letters = sorted(
        (one for one in known.letters if one.endpoint_id == name), key=attrgetter("at_ms")
    )
    last = attempts[-1] if attempts else None
    unresolved = [one for one in letters if _is_unresolved(one, last)]
    if unresolved:
        found = _of_letter(name, unresolved[-1], endpoint)
    elif letters and (last is None or last.at_ms <= letters[-1].at_ms):
        found = _of_replayed(name, letters[-1])
    elif last is not None:
        found = _of_attempt(name, last)
    else:
        found = _without_attempt(name, endpoint, known)
    return found._replace(attempts=attempts)


def _is_unresolved(letter: Letter, last: Attempted | None) -> bool:
    """Return whether the dead letter was neither published again nor redelivered."""
    if letter.replayed_at_ms is not None:
        return False
    # A probe of a suspended endpoint is an attempt after the event was deferred.
    return last is None or last.code != "accepted" or last.at_ms <= letter.at_ms


def _of_letter(name: str, letter: Letter, endpoint: Endpoint | None) -> DeliveryTrace:
    if letter.reason == SUSPENDED:
        text = _deferred_text(letter, endpoint)
        return DeliveryTrace(name, "deferred", text, letter=letter)
    return DeliveryTrace(name, "dead_lettered", _letter_text(letter), letter=letter)


def _of_replayed(name: str, letter: Letter) -> DeliveryTrace:
    at = rfc3339((letter.replayed_at_ms or letter.at_ms) / 1000)
    text = f"Dead letter {_name(letter)} was published again at {at}. No attempt followed."
    return DeliveryTrace(name, "waiting", text, letter=letter)


def _of_attempt(name: str, last: Attempted) -> DeliveryTrace:
    tried = f"Attempt {last.attempt} of {last.attempt_max}"
    if last.code == "accepted":
        return DeliveryTrace(name, "accepted", f"{tried} was accepted.")
    if is_in_backoff(last):
        text = f"{tried} failed with {last.code}. The worker retries it."
        return DeliveryTrace(name, "backoff", text)
    text = f"{tried} failed with {last.code}. No dead letter of it is listed yet."
    return DeliveryTrace(name, "failed", text)


def _without_attempt(name: str, endpoint: Endpoint | None, known: Traced) -> DeliveryTrace:
    if endpoint is not None and known.only_endpoint is None and known.event_type is not None:
        event_type = known.event_type
        if is_reserved(event_type):
            if not endpoint.enabled:
                text = f"The endpoint is disabled, and {event_type} goes to enabled endpoints only."
                return DeliveryTrace(name, "skipped", text)
        elif not endpoint.wants(event_type):
            shown = ", ".join(endpoint.event_types[:_PATTERNS_SHOWN])
            more = ", …" if len(endpoint.event_types) > _PATTERNS_SHOWN else ""
            text = f"The endpoint's event types ({shown}{more}) do not include {event_type}."
            return DeliveryTrace(name, "skipped", text)
    if known.is_done is False:
        return DeliveryTrace(name, "waiting", "The event waits for its first attempt.")
    text = (
        "The event is done, but the delivery log has no attempt at this endpoint. The endpoint was "
        "added or changed later, or the log no longer has the attempt."
    )
    return DeliveryTrace(name, "unknown", text)


def _deferred_text(letter: Letter, endpoint: Endpoint | None) -> str:
    deferred = f"The event was deferred at {rfc3339(letter.at_ms / 1000)}."
    if endpoint is None:
        return f"{deferred} Its endpoint was removed."
    if endpoint.paused_at is not None:
        since = rfc3339(endpoint.paused_at)
        return f"{deferred} The endpoint is paused since {since}. Resume it to deliver the event."
    if endpoint.suspension is not None:
        since = rfc3339(endpoint.suspension.since)
        return (
            f"{deferred} The endpoint is suspended ({endpoint.suspension.why}) since {since}. The "
            "event is delivered when the endpoint recovers. Resume the endpoint to probe it now."
        )
    return f"{deferred} The endpoint is {endpoint.state}. Replay dead letter {_name(letter)}."


def _letter_text(letter: Letter) -> str:
    reason = letter.reason or ""
    text = letter.error or REASONS.get(reason, "")
    return f"{reason}: {text} Replay dead letter {_name(letter)} once the cause is fixed."


def _name(letter: Letter) -> str:
    return f"{letter.partition}/{letter.offset}"
