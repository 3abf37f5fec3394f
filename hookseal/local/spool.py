"""The spool: the contents of a memory store in a file, between two runs.

One JSON object per line: a head, the tenant documents, the records of events and logs, and the
settled dead letters. Documents keep their MACs. Events are stored as they were published,
encrypted at rest or not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from hookseal.domain.record import Record
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hookseal.local.memory_store import MemoryStore

_VERSION = 1


class _Head(msgspec.Struct, tag="head"):
    version: int
    partitions: int


class _Tenant(msgspec.Struct, tag="tenant"):
    customer_id: str
    document: bytes


class _Entry(msgspec.Struct, tag="record", omit_defaults=True):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes]] = []


class _Settled(msgspec.Struct, tag="settled"):
    offsets: list[list[int]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Head | _Tenant | _Entry | _Settled).decode


def check_spool(path: Path) -> None:
    """Check that a spool can be written to this path, before there is something to lose.

    Raises:
        ConfigurationError: `spool_unusable`.
    """
    if not os.access(path.parent, os.W_OK) or path.is_dir():
        raise _unusable(path, OSError())


def write_spool(path: Path, store: MemoryStore) -> None:
    """Write the contents of the store atomically, readable for this user only.

    Raises:
        ConfigurationError: `spool_unusable`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            for line in _lines(store):
                file.write(_encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unusable(path, error) from None


def _lines(store: MemoryStore) -> Iterator[msgspec.Struct]:
    yield _Head(_VERSION, store.partitions)
    for customer_id, document in store.all_documents().items():
        yield _Tenant(customer_id, document)
    for record in store.records():
        yield _Entry(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            [(name, value or b"") for name, value in record.headers],
        )
    yield _Settled([list(one) for one in store.settled()])


def read_spool(path: Path, store: MemoryStore) -> int | None:
    """Load the file if it exists, and rename it to `….before`.

    Its events would be delivered twice if it was read twice.

    Returns:
        The number of events in it; None = there is no file.

    Raises:
        ConfigurationError: `spool_unusable`, `spool_invalid`.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        head, *lines = map(_decode, text.splitlines())
    except (msgspec.MsgspecError, ValueError):
        raise _invalid(path, "cannot be parsed") from None
    if head != _Head(_VERSION, store.partitions):
        raise _invalid(path, "has another format")
    settled = lines[-1] if lines else None
    if not isinstance(settled, _Settled) or len(settled.offsets) != store.partitions:
        raise _invalid(path, "is truncated")
    documents = {one.customer_id: one.document for one in lines if isinstance(one, _Tenant)}
    records = [
        Record(
            one.topic,
            one.partition,
            one.offset,
            one.key,
            one.value,
            tuple(one.headers),
            one.timestamp_ms,
        )
        for one in lines
        if isinstance(one, _Entry)
    ]
    if any(not 0 <= record.partition < store.partitions for record in records):
        raise _invalid(path, "has a record of an unknown partition")
    store.restore(documents, records, settled.offsets)
    try:
        path.replace(path.with_name(path.name + ".before"))
    except OSError as error:
        raise _unusable(path, error) from None
    return sum(record.topic == "events" for record in records)


def _invalid(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        "spool_invalid",
        f"{path.name} {why}. This release of `hookseal local` did not write it. Move it away.",
        field="--spool",
    )


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        "spool_unusable",
        f"{path.name} cannot be used: {error.strerror or 'not writable'}. Choose a file in a "
        "writable folder.",
        field="--spool",
    )
