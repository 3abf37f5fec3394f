"""A webhook URL of a tenant and its state."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from hookseal.domain.limits import EndpointLimits
from hookseal.domain.subscription import subscribes
from hookseal.domain.suspension import Suspension
from hookseal.errors import InvalidCommandError

DisabledReason = str
EndpointState = Literal["active", "suspended", "disabled"]

ENDPOINT_ID = "[A-Za-z0-9_-]{1,64}"
_ENDPOINT_ID = re.compile(ENDPOINT_ID)


def check_endpoint_id(text: str) -> str:
    """Return the endpoint id if it is valid.

    Raises:
        InvalidCommandError: `endpoint_id_invalid`.
    """
    if not _ENDPOINT_ID.fullmatch(text):
        raise InvalidCommandError(
            "endpoint_id_invalid",
            "Build an endpoint id of 1 to 64 letters, digits, hyphens and underscores.",
            field="id",
        )
    return text


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One endpoint in the tenants table.

    Attributes:
        event_types: Patterns, see `hookseal.domain.subscription`.
        enabled: A disabled endpoint's events are dead-lettered, so that nothing is lost.
        disabled_reason: Why it was disabled: `gone` (410) or `asked`.
        secret_version: Which derived signing secret is current, from 1.
        previous_secret_until: Unix seconds until which the secret before it signs as well.
        retry_delays_s: The endpoint's own schedule in seconds; None = the operator's.
        suspension: While its events are deferred; None = they are delivered.
    """

    id: str
    url: str
    event_types: tuple[str, ...]
    headers: dict[str, str] = {}
    description: str = ""
    enabled: bool = True
    disabled_reason: DisabledReason | None = None
    secret_version: int = 1
    previous_secret_until: float | None = None
    retry_delays_s: tuple[float, ...] | None = None
    suspension: Suspension | None = None
    limits: EndpointLimits = EndpointLimits()

    @property
    def state(self) -> EndpointState:
        """State of the deliveries to it."""
        if not self.enabled:
            return "disabled"
        return "active" if self.suspension is None else "suspended"

    def wants(self, event_type: str) -> bool:
        """Return whether the endpoint subscribes to the event type."""
        return subscribes(self.event_types, event_type)

    def secret_versions(self, now: float) -> tuple[int, ...]:
        """Return the valid versions of the signing secret, newest first.

        Args:
            now: Unix seconds.
        """
        until = self.previous_secret_until
        if until is not None and now < until and self.secret_version > 1:
            return self.secret_version, self.secret_version - 1
        return (self.secret_version,)
