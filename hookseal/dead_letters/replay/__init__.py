"""Replay: publish dead-lettered or accepted events again, each record once.

* `items.py`     which records a replay publishes
* `replayer.py`  reads them and publishes them in batches
* `lease.py`     the exclusive right to replay on one partition; prevents a second publication
* `turns.py`     which replay of this process is next on a partition
"""

from hookseal.dead_letters.replay.items import EventsWanted
from hookseal.dead_letters.replay.replayer import Replayer

__all__ = ["EventsWanted", "Replayer"]
