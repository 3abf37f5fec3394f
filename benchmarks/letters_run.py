"""Dead letters in great number: how long to list some, how much memory to replay many."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.deployment import deployed
from benchmarks.letters_load import write_letters
from benchmarks.process import figures_of
from hookseal.domain.event import REPLAY_HEADER
from hookseal.domain.record import last_header
from hookseal.kafka.broker.ports import free_ports
from tests.brokers.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.deployment import Deployment
    from benchmarks.scenario import Setup

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class LettersRun:
    """What listing and replaying took."""

    letters: int  # On the topic, and in the index
    indexed_s: float  # Seconds to make the index from nothing
    index_bytes: int  # Of its files
    # Seconds of two pages of 50, by what was asked for; with the wait for whatever is new.
    list_s: Mapping[str, float]
    list_rss_bytes: int  # Resident after that
    list_peak_rss_bytes: int  # The most until then
    # Seconds from the start of another process's index, with a file that is there, to its first
    # page.
    warm_start_s: float
    replayed: int  # Letters that were published again
    replayed_s: float  # Seconds of that
    replay_early_rss_bytes: int  # The most that was resident during the first tenth
    replay_peak_rss_bytes: int  # The most that was resident at all
    exact: bool  # Whether each of them stands on `events` exactly once


def run_letters(setup: Setup, *, letters: int, replays: int) -> LettersRun:
    """Write dead letters; list and replay them in a new process."""
    (closed,) = free_ports(1)
    with (
        deployed(setup, port=closed) as deployment,
        TemporaryDirectory(prefix="hookseal-bench-") as folder,
    ):
        setup.watcher.stage("Writing dead letters", letters)
        asyncio.run(write_letters(deployment, letters, setup.watcher.done))
        setup.watcher.stage("Listing and replaying")
        figures = figures_of("benchmarks.letters_reader", folder, str(replays), env=deployment.env)
        marks = asyncio.run(_marks(deployment))
    exact = set(marks.values()) <= {1} and len(marks) == figures["replayed"]
    return LettersRun(**figures, exact=exact)


async def _marks(deployment: Deployment) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    async for record in read_all(deployment.cluster, deployment.names.events):
        found[last_header(record.headers, REPLAY_HEADER) or b""] += 1
    return found


def letters_line(run: LettersRun) -> str:
    """Return the figures as a few lines."""
    slowest = max(run.list_s, key=lambda name: run.list_s[name])
    return (
        f"{run.letters} dead letters: indexed from nothing in {run.indexed_s:.0f} s, "
        f"{run.index_bytes / _MB:.0f} MB of disk, {run.list_peak_rss_bytes / _MB:.0f} MB resident "
        f"at most; {run.warm_start_s:.2f} s from a start with that file to the first page; two "
        f"pages take {run.list_s[slowest] * 1000:.0f} ms at most ({slowest})\n"
        f"{run.replayed} replayed in {run.replayed_s:.0f} s "
        f"({run.replayed / run.replayed_s:.0f} a second), "
        f"{run.replay_early_rss_bytes / _MB:.0f} MB resident in the first tenth, "
        f"{run.replay_peak_rss_bytes / _MB:.0f} MB at most"
    )
