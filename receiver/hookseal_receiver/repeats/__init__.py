"""Drops duplicates: the sender delivers at least once.

A delivery counts as seen only after its handler succeeded, because a handler that fails must
get the event again. So there are three steps: `claim` before the handler runs, then `finish`
if it succeeded or `release` if it failed. Of two concurrent requests with the same event one
gets the claim; the other one is asked to retry.
"""

from hookseal_receiver.repeats.memory import MemoryStore
from hookseal_receiver.repeats.port import Bounds, Claim, Standing, Store
from hookseal_receiver.repeats.sqlite import SQLiteStore

__all__ = ["Bounds", "Claim", "MemoryStore", "SQLiteStore", "Standing", "Store"]
