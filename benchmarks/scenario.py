"""What is measured: sizes and counts that all runs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.seal.keys import KeyKind
    from tests.brokers import Broker

PARTITIONS = 6
CUSTOMERS = 24
EVENT_BYTES = 1024
KINDS: tuple[KeyKind, ...] = ("rsa-2048", "rsa-4096", "p256", "x25519")


class Watcher(Protocol):
    """Reports progress."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Report that a stage with this many steps begins."""
        ...

    def done(self, steps: int) -> None:
        """Report how many steps of the stage are done."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What every run needs."""

    broker: Broker  # A running Kafka broker; each run creates and deletes its own topics
    shell: Mapping[str, str]  # The environment that the benchmark was started with
    watcher: Watcher  # Reports progress


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of it."""

    events: int = 20_000  # Events in each run; one webhook each
    rounds: int = 3  # How often each run is repeated, in turns; medians are reported
    seals: int = 1000  # Times that each kind of key seals in a round
    waiting: int = 0  # Events behind the ones in backoff, where memory is measured; 0 = it is not


class Point(NamedTuple):
    """What the events of one run are."""

    kind: KeyKind  # Of the tenants' keys
    event_bytes: int  # Size of each event


POINTS: tuple[Point, ...] = (
    *(Point(kind, EVENT_BYTES) for kind in KINDS),
    *(Point("rsa-2048", times * EVENT_BYTES) for times in (4, 16, 32)),
    *(Point("x25519", times * EVENT_BYTES) for times in (4, 16, 32)),
)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of the whole suite."""

    events: int = 20_000  # Events of each run that drains a topic
    rounds: int = 5  # Runs of each kind, in turns, of the worker and what it is compared with
    turns: int = 3  # Rounds of every other section: some have many runs in each
    seals: int = 1000  # Times that each kind of key seals in a round
    points: Sequence[Point] = POINTS  # Kinds of key, and sizes of events
    # Seconds after which receivers answer that are far away.
    latencies_s: Sequence[float] = (0.05, 0.2)
    # Of the rate at which a worker drains, where latency is measured.
    shares: Sequence[float] = (0.25, 0.5, 0.75)
    seconds: float = 15.0  # Of each run that is measured by the clock
    waiting: int = 100_000  # Events behind the ones in backoff, where memory is measured
    tenants: Sequence[int] = (100_000, 1_000_000)  # In the tables that are recovered


FULL = Amounts()
# Does all of it work? In some two minutes.
QUICK = Amounts(
    events=1000,
    rounds=1,
    turns=1,
    seals=20,
    points=(Point("rsa-2048", EVENT_BYTES), Point("x25519", 4 * EVENT_BYTES)),
    latencies_s=(0.05,),
    shares=(0.5,),
    seconds=2.0,
    waiting=600,
    tenants=(2000,),
)
