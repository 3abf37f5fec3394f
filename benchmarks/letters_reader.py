"""A process that indexes, lists and replays dead letters; a program of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.letters_load import CUSTOMERS, LARGEST
from hookseal.config import load
from hookseal.dead_letters.index import LetterIndex
from hookseal.dead_letters.replay import Replayer
from hookseal.domain.letter_filter import LetterFilter

_PAGE = 50
_FIRST_TENTH = 10

# A customer with half of the letters and one with a thousandth; what there is, what is rare,
# and what is not there at all, for which everything of the customer must be looked at.
_LISTS = {
    "all of a customer": LetterFilter(customer_id=LARGEST),
    "all of a small customer": LetterFilter(customer_id=f"customer-{CUSTOMERS - 1}"),
    "by endpoint and reason": LetterFilter(
        customer_id=LARGEST, endpoint_id="ep_1", reasons=frozenset({"endpoint_gone"})
    ),
    "by a status that is not there": LetterFilter(customer_id=LARGEST, status=404),
    "not replayed": LetterFilter(customer_id=LARGEST, replayed=False),
    "of everybody": LetterFilter(),
}


class _Weight:
    """The memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process(os.getpid())
        self.peak_bytes = self.now()

    def now(self) -> int:
        """Return the bytes resident now."""
        return int(self._process.memory_info().rss)

    def note(self, *_: int) -> None:
        """Note the bytes resident now."""
        self.look()

    def look(self) -> int:
        """Note and return the bytes resident now."""
        now = self.now()
        self.peak_bytes = max(self.peak_bytes, now)
        return now


async def _main(folder: Path, replays: int) -> None:
    settings = load()
    weight = _Weight()
    began = time.monotonic()
    index = LetterIndex(settings.cluster, folder)
    await index.start()
    await index.catch_up(on_progress=weight.note)
    indexed_s = time.monotonic() - began
    figures: dict[str, Any] = {
        "letters": sum((await index.counts(LetterFilter())).values()),
        "indexed_s": indexed_s,
        "index_bytes": _bytes_in(folder),
        "list_s": {name: await _listed(index, wanted) for name, wanted in _LISTS.items()},
        "list_rss_bytes": weight.look(),
        "list_peak_rss_bytes": weight.peak_bytes,
    }
    await index.close()
    began = time.monotonic()
    index = LetterIndex(settings.cluster, folder)
    await index.start()
    await index.catch_up()
    await _listed(index, _LISTS["all of a customer"])
    figures["warm_start_s"] = time.monotonic() - began
    replayer = Replayer(settings.cluster, index, event_max_bytes=settings.event_max_bytes)
    print(json.dumps(figures | await _replayed(replayer, replays)))
    await index.close()


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def _listed(index: LetterIndex, wanted: LetterFilter) -> float:
    """Return the seconds that a first and a second page take together."""
    began = time.monotonic()
    await index.catch_up()
    page = await index.page(wanted, limit=_PAGE)
    if page.next_cursor is not None:
        await index.page(wanted, limit=_PAGE, cursor=page.next_cursor)
    return time.monotonic() - began


async def _replayed(replayer: Replayer, limit: int) -> dict[str, Any]:
    weight = _Weight()
    done = early_bytes = 0
    # As the API does: at most 1,000 letters per request.
    most = min(1000, max(1, limit // _FIRST_TENTH))
    began = time.monotonic()
    while done < limit:
        count = await replayer.replay(LetterFilter(), limit=min(most, limit - done))
        if not count:
            break
        done += count
        if weight.look() and done <= limit // _FIRST_TENTH:
            early_bytes = weight.peak_bytes
    return {
        "replayed": done,
        "replayed_s": time.monotonic() - began,
        "replay_early_rss_bytes": early_bytes or weight.peak_bytes,
        "replay_peak_rss_bytes": weight.peak_bytes,
    }


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))
