"""What `hookseal doctor` looks at where HOOKSEAL_API_URL is set: the API, and the key for it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hookseal.cli.api_client import ApiClient
from hookseal.cli.api_session import key_of
from hookseal.cli.checks import Check
from hookseal.errors import BrokerError, ConfigurationError, HooksealError

if TYPE_CHECKING:
    from hookseal.config import Settings

__all__ = ["api_checks", "reached"]

_NOBODY_THERE = frozenset({"api_unreachable", "api_unexpected"})


async def api_checks(settings: Settings) -> list[Check]:
    """Look at the API and at the key for it; at nothing where no API is named."""
    if not settings.api_url:
        return []
    try:
        key, missing = key_of(settings), None
    except ConfigurationError as error:
        key, missing = "", error
    # It is told what is, not what would be in a moment.
    async with ApiClient(settings.api_url, key, timeout_s=0.0) as api:
        try:
            await api.ask("GET", "/readyz")
        except HooksealError as error:
            checks = [Check("api", "fail", f"{error.code}: {error.message}")]
            if error.code in _NOBODY_THERE:
                return checks
        else:
            checks = [reached(settings.api_url)]
        if missing is not None:
            return [*checks, Check("api key", "fail", missing.message)]
        return [*checks, await _key(api)]


def reached(url: str) -> Check:
    """Return what is to be said of an API that is ready there."""
    if urlsplit(url).scheme == "http" and not _is_this_machine(urlsplit(url).hostname or ""):
        return Check("api", "warn", f"ready at {url}, but keys go there in the clear; use https.")
    return Check("api", "ok", f"ready at {url}")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _key(api: ApiClient) -> Check:
    try:
        await api.ask("GET", "/v1/tenants?limit=1")
    except BrokerError as error:
        return Check("api key", "warn", f"cannot be told now: {error.code}: {error.message}")
    except HooksealError as error:
        if error.code == "admin_only":
            return Check("api key", "ok", "taken, as a tenant's")
        return Check("api key", "fail", f"{error.code}: {error.message}")
    return Check("api key", "ok", "taken, as the operator's")
