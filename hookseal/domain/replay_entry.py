"""One record of the ledger of replays: JSON with a version, on the topic `replays`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

# JSON bounds no number, and the index cannot store a larger one.
_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)


class ReplayEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Replayed events of one partition, and the process that holds its replay lease.

    Attributes:
        at_ms: Milliseconds since the Unix epoch, of the holder's clock.
        events_to: Offset on `events` below which every replay is entered in the ledger.
        released: Whether the holder is done, with no write in progress.
        job: Empty for dead letters; the id of a replay of accepted events otherwise.
        job_to: Offset on `events` up to which the job goes; -1 = not in this entry.
        replayed: Offset and timestamp of each replayed record, on the same partition of
            `dead-letters`, or of `events` for a job.
    """

    holder: str
    at_ms: _Int64
    events_to: _Int64
    released: bool = False
    job: str = ""
    job_to: _Int64 = -1
    replayed: list[tuple[_Int64, _Int64]] = []
    v: int = 1


class DrainedEntry(msgspec.Struct, frozen=True):
    """Deferred events of one partition that were redelivered without a replay.

    It has its own version, so that the search for the holder of the lease skips it.
    """

    drained: list[tuple[_Int64, _Int64]]
    v: Literal[2] = 2


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ReplayEntry)
_drained = msgspec.json.Decoder(DrainedEntry)


def encode(entry: ReplayEntry | DrainedEntry) -> bytes:
    """Return the entry's JSON."""
    return _encoder.encode(entry)


def decode(value: bytes) -> ReplayEntry | None:
    """Return the entry; None if it is none, or of another version."""
    try:
        entry = _decoder.decode(value)
    except _UNREADABLE:
        return None
    return entry if entry.v == 1 else None


def settled_in(value: bytes) -> list[tuple[int, int]]:
    """Return offset and timestamp of the dead letters that an entry says are done with."""
    try:
        return _drained.decode(value).drained
    except _UNREADABLE:
        entry = decode(value)
        return [] if entry is None or entry.job else entry.replayed
