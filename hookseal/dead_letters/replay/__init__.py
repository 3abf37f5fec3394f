"""Replay: publish dead-lettered or accepted events again, each record once.

* `items.py`     which records a replay publishes
* `replayer.py`  publishes them in batches; tenants take turns
* `lease.py`     the exclusive right to replay on one partition; prevents a second publication
"""

from hookseal.dead_letters.replay.items import EventsWanted
from hookseal.dead_letters.replay.replayer import Replayer

__all__ = ["EventsWanted", "Replayer"]
