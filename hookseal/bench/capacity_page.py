"""Renews what is computed on `docs/capacity.md`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hookseal.bench.capacity_blocks import example, plan, rates, side_by_side
from hookseal.bench.sim_blocks import runs, waits
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BLOCKS", "renewed"]

BLOCKS: Final[Mapping[str, Callable[[str], str]]] = {
    "rates": lambda _: rates(),
    "plan": lambda _: plan(),
    "side-by-side": lambda _: side_by_side(),
    "waits": lambda _: waits(),
    "runs": runs,
    "example": lambda _: example(),
}
"""Each is told what stands there, and says what belongs there."""

_BLOCK: Final = re.compile(r"(<!-- begin: ([a-z-]+) -->\n)(.*?)(<!-- end: \2 -->)", re.DOTALL)


def renewed(page: str) -> str:
    """Return the page with each block between its marks, `<!-- begin: plan -->`, made anew.

    Raises:
        ConfigurationError: `marks_missing`, with none of `BLOCKS`, or one that is unknown.
    """
    names = [match[2] for match in _BLOCK.finditer(page)]
    if not names or not BLOCKS.keys() >= set(names):
        raise ConfigurationError(
            "marks_missing",
            "Give a page with `<!-- begin: plan -->` and `<!-- end: plan -->`; blocks are "
            f"{', '.join(BLOCKS)}.",
        )
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]](match[3])}\n\n{match[4]}", page)
