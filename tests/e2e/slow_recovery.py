"""The application of the workers, but slow between seeking a changelog and reading it.

That moment is a few steps of the loop otherwise: long enough on a busy worker.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.tables.recovery import Recovery

from streams.app import app

__all__ = ["app"]

_seek = Recovery._seek_offsets


async def seek_offsets(self: Recovery, *args: Any) -> None:
    """Seek, and be busy for a while."""
    await _seek(self, *args)
    await asyncio.sleep(1.0)


Recovery._seek_offsets = seek_offsets  # type: ignore[method-assign, assignment]
