"""The spool: the contents of a memory store in a JSON file, between two runs.

Tenant documents keep their MACs. Events are stored as they were published, encrypted at rest or
not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from hookseal.errors import ConfigurationError
from hookseal.local.memory_store import Contents

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.local.memory_store import MemoryStore

_VERSION = 2


class _Spool(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    contents: Contents


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
            file.write(msgspec.json.encode(_Spool(_VERSION, store.contents())))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _unusable(path, error) from None


def read_spool(path: Path, store: MemoryStore) -> int | None:
    """Load the file if it exists, and rename it to `….before`.

    Its events would be delivered twice if it was read twice.

    Returns:
        The number of events in it; None = there is no file.

    Raises:
        ConfigurationError: `spool_unusable`, `spool_invalid`.
    """
    try:
        spool = msgspec.json.decode(path.read_bytes(), type=_Spool)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    except (msgspec.MsgspecError, ValueError):
        raise _invalid(path, "is damaged or truncated") from None
    contents = spool.contents
    if (spool.version, contents.partitions, len(contents.settled)) != (
        _VERSION,
        store.partitions,
        store.partitions,
    ):
        raise _invalid(path, "has another format")
    if any(not 0 <= record.partition < store.partitions for record in contents.records):
        raise _invalid(path, "has a record of an unknown partition")
    store.restore(contents)
    try:
        path.replace(path.with_name(path.name + ".before"))
    except OSError as error:
        raise _unusable(path, error) from None
    return sum(record.topic == "events" for record in contents.records)


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
