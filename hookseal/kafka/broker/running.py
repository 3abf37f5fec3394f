"""A running broker."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack


class Broker:
    """A broker, or a cluster of brokers, that answers; a context manager that stops it.

    It also stops at the exit of this process, and on Linux when this process is killed.

    Attributes:
        kind: `bootstrap` for a cluster that runs already, `embedded`, or a kind of the tests.
        bootstrap: `host:port,host:port`.
        settings: The HOOKSEAL_* settings of a worker on this broker, as environment variables.
    """

    def __init__(
        self,
        kind: str,
        bootstrap: str,
        *,
        settings: Mapping[str, str] | None = None,
        resources: ExitStack | None = None,
    ) -> None:
        """Own `resources`, which `stop` releases."""
        self.kind = kind
        self.bootstrap = bootstrap
        self.settings = {"HOOKSEAL_KAFKA_BOOTSTRAP": bootstrap, **(settings or {})}
        self._resources = resources
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the broker and delete its data. A second call does nothing."""
        atexit.unregister(self.stop)
        if self._resources is not None:
            self._resources.close()
