"""A record between the fetch and the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from faust.types import TP

    from hookseal.domain.record import Record


class FetchedRecord(NamedTuple):
    """A record, and the generation of the consumer group in which it was fetched."""

    generation_id: int
    tp: TP
    record: Record
