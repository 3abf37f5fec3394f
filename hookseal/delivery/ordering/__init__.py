"""Ordering and offsets of one partition.

Ordering is guaranteed here and nowhere else:

* `keys.py`       which records must not overtake each other (the ordering mode)
* `scheduler.py`  one FIFO queue per ordering key; the next record starts when the previous one is
                  accepted, dead-lettered or deferred
* `offsets.py`    an offset is committed only when it and all offsets below it are done
* `partition.py`  when an attempt may start, and what stops with the partition
"""

from hookseal.delivery.ordering.offsets import OffsetTracker
from hookseal.delivery.ordering.scheduler import Limits, PartitionScheduler, Pressure

__all__ = ["Limits", "OffsetTracker", "PartitionScheduler", "Pressure"]
