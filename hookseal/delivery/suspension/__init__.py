"""Suspended endpoints: defer their events, probe them, and deliver the backlog."""

from hookseal.delivery.suspension.backlog import SuspensionRules
from hookseal.delivery.suspension.manager import SuspensionManager

__all__ = ["SuspensionManager", "SuspensionRules"]
