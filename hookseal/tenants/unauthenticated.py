"""Changelog records with a wrong MAC: reported, unless a record of ours follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

_log = logger(__name__)


class UnauthenticatedRecords:
    """Skipped records of the changelog, by key.

    A record that one of ours follows has no effect. Most of those have a MAC of the previous master
    key and stay until the topic is compacted.
    """

    def __init__(self, on_forged: Callable[[], None]) -> None:
        """Call `on_forged` for each record that is reported."""
        self._on_forged = on_forged
        self._skipped: dict[bytes, tuple[str, int, int]] = {}

    def note(self, key: bytes, topic: str, partition: int, offset: int) -> None:
        """Note a record that was skipped."""
        self._skipped[key] = (topic, partition, offset)

    @property
    def keys(self) -> AbstractSet[bytes]:
        """The keys of the records that were noted since the last report."""
        return self._skipped.keys()

    def clear(self) -> None:
        """Drop the notes without a report."""
        self._skipped = {}

    def followed(self, key: bytes) -> None:
        """Drop the note of this key, because a record of ours follows."""
        self._skipped.pop(key, None)

    def report(self) -> None:
        """Report the remaining records, once the changelog is read."""
        skipped, self._skipped = self._skipped, {}
        for topic, partition, offset in skipped.values():
            self._on_forged()
            _log.error(
                "registry.forged",
                code="tenant_document_forged",
                topic=topic,
                partition=partition,
                offset=offset,
            )
