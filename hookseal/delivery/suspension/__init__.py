"""Endpoints that do not accept: set aside what is for them, and deliver it when they are back."""

from hookseal.delivery.suspension.manager import SuspensionManager
from hookseal.delivery.suspension.rules import SuspensionRules

__all__ = ["SuspensionManager", "SuspensionRules"]
