"""Suspended endpoints: defer their events, probe them, and deliver the backlog."""

from hookseal.delivery.suspension.manager import SuspensionManager
from hookseal.delivery.suspension.rules import SuspensionRules

__all__ = ["SuspensionManager", "SuspensionRules"]
