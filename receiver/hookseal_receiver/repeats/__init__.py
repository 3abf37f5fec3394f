"""Dropping repeats: the promise of the sender is at-least-once.

A delivery is seen once its handler succeeded, not before: a handler that fails must be
given the event again. So there are three steps. `claim` before the handler runs, then
`finish` if it succeeded or `release` if it did not. Of two requests with the same event at
once one gets the claim; the other one is told that somebody is at it.
"""

from hookseal_receiver.repeats.memory import MemoryStore
from hookseal_receiver.repeats.port import Bounds, Claim, Standing, Store
from hookseal_receiver.repeats.sqlite import SQLiteStore

__all__ = ["Bounds", "Claim", "MemoryStore", "SQLiteStore", "Standing", "Store"]
