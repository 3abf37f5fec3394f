"""Publishing again what was given up, or lost by whoever had accepted it: each record once.

`lease.py` has the right to replay on one partition, and how nothing is published twice by
whoever had it before; `replayer.py` says what is published.
"""

from hookseal.dead_letters.replay.replayer import EventsWanted, Replayer

__all__ = ["EventsWanted", "Replayer"]
