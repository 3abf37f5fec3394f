"""Changelog records with a wrong MAC: reported, unless a record of ours follows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

# As in `tenant_index`: never on stdout.
_log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(__name__), wrapper_class=structlog.stdlib.BoundLogger
)


class _Place(NamedTuple):
    topic: str
    partition: int
    offset: int


class UnauthenticatedRecords:
    """Skipped records of the changelog, by key.

    A record that one of ours follows has no effect. Most of those are of the previous master key
    and stay until the topic is compacted.
    """

    def __init__(self, on_forged: Callable[[], None]) -> None:
        """Call `on_forged` for each record that is reported."""
        self._on_forged = on_forged
        self._left: dict[bytes, _Place] = {}

    def note(self, key: bytes, topic: str, partition: int, offset: int) -> None:
        """Note a record that was skipped."""
        self._left[key] = _Place(topic, partition, offset)

    @property
    def keys(self) -> AbstractSet[bytes]:
        """The keys of the records that were noted since the last report."""
        return self._left.keys()

    def clear(self) -> None:
        """Drop the notes without a report."""
        self._left = {}

    def followed(self, key: bytes) -> None:
        """Note that a record of ours came after it."""
        self._left.pop(key, None)

    def report(self) -> None:
        """Report the remaining records, once everything is read."""
        left, self._left = self._left, {}
        for place in left.values():
            self._on_forged()
            _log.error(
                "tenants.unauthenticated_record", code="tenant_document_forged", **place._asdict()
            )
