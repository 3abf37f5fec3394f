"""Many lanes in one partition: who may go beside whom, and how far it is all finished."""

from hookseal.delivery.lanes.lanes import Lanes, Limits, Pressure, Work
from hookseal.delivery.lanes.progress import Progress

__all__ = ["Lanes", "Limits", "Pressure", "Progress", "Work"]
