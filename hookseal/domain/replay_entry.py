"""One record of the ledger of replays: JSON with a version, on the topic `replays`."""

from __future__ import annotations

import msgspec

__all__ = ["ReplayEntry", "decode", "encode"]


class ReplayEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was published again on one partition, and who holds the partition's replays.

    Attributes:
        holder: Whoever runs the replay.
        at_ms: Milliseconds since the Unix epoch, of the holder's clock.
        events_to: Offset on `events` below which every replay is entered in the ledger.
        released: Whether the holder is done, and has nothing under way.
        job: Empty for dead letters; the id of a replay of accepted events otherwise.
        job_to: Offset on `events` up to which the job goes; -1 = not said here.
        replayed: Offset and timestamp of each record that was published again; on the
            same partition of `dead-letters`, or of `events` for a job.
        v: Version of this form.
    """

    holder: str
    at_ms: int
    events_to: int
    released: bool = False
    job: str = ""
    job_to: int = -1
    replayed: list[tuple[int, int]] = []
    v: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ReplayEntry)


def encode(entry: ReplayEntry) -> bytes:
    """Return the entry's JSON."""
    return _encoder.encode(entry)


def decode(value: bytes) -> ReplayEntry | None:
    """Return the entry; None if it is none, or of another version."""
    try:
        entry = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
    return entry if entry.v == 1 else None
