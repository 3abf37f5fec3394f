"""Real `faust -A streams.app worker` processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.process import BIN, Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Worker"]


class Worker(Process):
    """One worker."""

    def __init__(
        self, name: str, env: Mapping[str, str], folder: Path, app: str = "streams.app"
    ) -> None:
        super().__init__(name, env, folder, str(BIN / "faust"), "-A", app, "worker")

    @property
    def partitions(self) -> list[int] | None:
        """The partitions it was assigned last; None before it was assigned any."""
        assigned = self.events("worker.partitions_assigned")
        return assigned[-1]["partitions"] if assigned else None

    async def ready(self, *, partitions: int | None = None) -> None:
        """Wait until it is assigned partitions (that many, if given) and works on them."""

        def is_ready() -> bool:
            held = self.partitions
            return held is not None and partitions in (None, len(held))

        await self.until(is_ready)
