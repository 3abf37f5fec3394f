"""Replay: publish dead-lettered or accepted events again, each record once.

`lease.py` owns the right to replay on one partition and prevents a second publication.
`replayer.py` chooses what is published.
"""

from hookseal.dead_letters.replay.replayer import EventsWanted, Replayer

__all__ = ["EventsWanted", "Replayer"]
