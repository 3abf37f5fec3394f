"""The HTTP transport to endpoints, with the egress policy of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hookseal.outbound.client import HttpTransport
from hookseal.outbound.guard import EgressPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.config import Settings

__all__ = ["build_transport", "warn_of_open_egress"]

_log = structlog.stdlib.get_logger("hookseal.worker")


def build_transport(
    settings: Settings, *, on_blocked: Callable[[str, int, str], None]
) -> HttpTransport:
    """Return the HTTP transport with the egress policy of the settings."""
    return HttpTransport(
        EgressPolicy(
            allow_cidrs=settings.egress_allow_cidrs,
            deny_cidrs=settings.egress_deny_cidrs,
            allow_http=settings.egress_allow_http,
            allow_ports=settings.egress_allow_ports,
        ),
        ssl_context=settings.egress_tls(),
        on_blocked=on_blocked,
    )


def warn_of_open_egress(settings: Settings) -> None:
    """Warn if the settings allow endpoints that are refused by default."""
    if not (
        settings.egress_allow_cidrs or settings.egress_allow_http or settings.egress_allow_ports
    ):
        return
    _log.warning(
        "egress.opened",
        hint="For development: endpoints may be dialled that are refused otherwise.",
        networks=[str(network) for network in settings.egress_allow_cidrs],
        http=settings.egress_allow_http,
        ports=settings.egress_allow_ports,
    )
