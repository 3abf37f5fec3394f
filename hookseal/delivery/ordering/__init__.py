"""Many lanes in one partition: who may go beside whom, and how far it is all finished."""

from hookseal.delivery.ordering.offsets import OffsetTracker
from hookseal.delivery.ordering.scheduler import Limits, PartitionScheduler, Pressure

__all__ = ["Limits", "OffsetTracker", "PartitionScheduler", "Pressure"]
