"""Reading a value out of a table's store.

The tenant is looked up three times for each event. Faust's `get` takes nine calls to the same
value, four of them to count it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.changelog import ChangelogTable


def value_in(table: ChangelogTable, key: bytes, *, in_memory: bool) -> bytes | None:
    """Return the value of a key, or None."""
    store: Any = table.data
    value: bytes | None = (store.data if in_memory else store).get(key)
    return value
