"""What every API process does at its start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hookseal.domain.endpoint_url import check_url
from hookseal.seal.api_keys import ADMIN_PREFIX
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.config import Settings

__all__ = ["say_what_is_open", "url_check"]

_log = logger("hookseal.api")


def url_check(settings: Settings) -> Callable[[str], str]:
    """Return a function that checks an endpoint's URL and returns its canonical form."""
    return partial(
        check_url,
        allow_http=settings.egress_allow_http,
        allow_ports=settings.egress_allow_ports,
        allow_cidrs=settings.egress_allow_cidrs,
        own_hosts=frozenset(settings.api_public_hosts),
    )


def say_what_is_open(settings: Settings) -> None:
    """Warn if the admin key is missing or has another form than ours."""
    admin_key = settings.admin_key.get_secret_value()
    if not admin_key:
        _log.warning("api.no_admin_key", hint="Nobody can make tenants: set HOOKSEAL_ADMIN_KEY.")
    elif not admin_key.startswith(ADMIN_PREFIX):
        _log.warning("api.admin_key_unusual", hint="`hookseal keys admin` makes one of 256 bits.")
