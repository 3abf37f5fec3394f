"""Where the commands ask: the API at HOOKSEAL_API_URL, or one of their own over Kafka."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from hookseal.cli import ui
from hookseal.cli.api_client import ApiClient, tenant_path
from hookseal.config import load
from hookseal.errors import BrokerError, ConfigurationError, ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.config import Settings

__all__ = ["ask_tenant", "client", "create_tenant", "every_tenant", "key_of", "named_api"]

_READ_S = 10.0
_PAGE = 1000
# Of the ids that keep events from being published twice, the commands need none.
_EVENT_IDS = 1000


def ask_tenant(
    customer_id: str, method: str, path: str = "", body: Any = None, *, timeout_s: float = _READ_S
) -> Any:
    """Ask about, or for a change of, one tenant; return the answer.

    Args:
        customer_id: Whose.
        method: HTTP method.
        path: Behind the tenant's.
        body: Sent as JSON.
        timeout_s: Seconds that a change may take.

    Raises:
        HooksealError: As `ApiClient.ask`, and as `client`.
    """
    return _ask(customer_id, method, tenant_path(customer_id) + path, body, timeout_s)


def create_tenant(customer_id: str, name: str, *, timeout_s: float) -> str:
    """Make a tenant; return its first API key.

    Raises:
        HooksealError: As `ask_tenant`.
    """
    body = {"customer_id": customer_id, "name": name}
    return str(_ask(customer_id, "POST", "/v1/tenants", body, timeout_s)["api_key"])


def _ask(customer_id: str, method: str, path: str, body: Any, timeout_s: float) -> Any:
    async def ask() -> Any:
        async with client(load(), customer_id=customer_id, timeout_s=timeout_s) as api:
            return await api.ask(method, path, body)

    try:
        with ui.working("Waiting for a worker"):
            return ui.run(ask())
    except ConflictError as error:
        raise ConflictError(error.code, error.message, field=customer_id) from None
    except BrokerError as error:
        if error.code != "no_worker_answered":
            raise
        # The API's own words are for programs, which can repeat the request under its key.
        raise BrokerError(
            error.code,
            f"No worker applied the change within {timeout_s:g} s. It stands on "
            "`tenant-commands` and takes effect once a worker runs.",
        ) from None


def every_tenant() -> list[dict[str, Any]]:
    """Return a summary of each tenant, by customer id.

    Raises:
        HooksealError: As `ask_tenant`.
    """

    async def ask() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with client(load(), timeout_s=_READ_S) as api:
            cursor = ""
            while True:
                page = await api.ask("GET", f"/v1/tenants?limit={_PAGE}{cursor}")
                found += page["items"]
                if page["next_cursor"] is None:
                    return found
                cursor = f"&cursor={page['next_cursor']}"

    with ui.working("Reading the tenants"):
        return ui.run(ask())


@asynccontextmanager
async def client(
    settings: Settings, *, customer_id: str | None = None, timeout_s: float
) -> AsyncIterator[ApiClient]:
    """Return a client of the API that the settings name, or of one that lives as long.

    That one listens on a Unix socket in a folder of this user alone, under an admin key
    that nobody knows.

    Args:
        settings: Where.
        customer_id: The one tenant that it is about; all when None.
        timeout_s: Seconds that a change may take.

    Raises:
        BrokerError: `broker_unreachable`.
        ConfigurationError: `topic_missing`, `partitions_differ`, `master_key_missing`,
            `socket_unavailable`, and as `named_api`.
    """
    if settings.api_url:
        async with named_api(settings, timeout_s=timeout_s) as remote:
            yield remote
        return
    from hookseal.cli.api_service import ApiService
    from hookseal.kafka.partitioner import partition_of
    from hookseal.kafka.topics import partition_count
    from hookseal.seal.api_keys import new_admin_key

    settings.master_key_bytes()
    # Asked here, so that the operator is told which broker or topic it is about.
    count = await partition_count(settings.cluster)
    own = settings.model_copy(
        update={
            "admin_key": SecretStr(new_admin_key()),
            "api_write_timeout_s": timeout_s,
            "api_event_ids": _EVENT_IDS,
        }
    )
    with tempfile.TemporaryDirectory(prefix="hookseal-") as folder:
        socket = Path(folder) / "api"
        partitions = None if customer_id is None else [partition_of(customer_id, count)]
        async with AsyncExitStack() as stack:
            service = ApiService(own, socket=socket, partitions=partitions, indexed=False)
            try:
                await stack.enter_async_context(service)
            except OSError as error:
                raise ConfigurationError(
                    "socket_unavailable",
                    f"No socket can be made there, {error.strerror or error}; choose a folder with "
                    "a shorter name.",
                    field="TMPDIR",
                ) from None
            key = own.admin_key.get_secret_value()
            local = await stack.enter_async_context(
                ApiClient("http://localhost", key, timeout_s=timeout_s, socket=socket)
            )
            await service.known()
            yield local


def named_api(settings: Settings, *, timeout_s: float) -> ApiClient:
    """Return a client, to be entered, of the API that the settings name.

    Args:
        settings: With a URL and a key.
        timeout_s: As in `ApiClient`.

    Raises:
        ConfigurationError: As `key_of`.
    """
    return ApiClient(settings.api_url, key_of(settings), timeout_s=timeout_s)


def key_of(settings: Settings) -> str:
    """Return the key for the API that the settings name.

    Raises:
        ConfigurationError: `api_key_missing`, `api_key_malformed`.
    """
    key = (
        settings.api_key.get_secret_value().strip() or settings.admin_key.get_secret_value().strip()
    )
    if not key:
        raise ConfigurationError(
            "api_key_missing",
            "Set it to an API key, or HOOKSEAL_ADMIN_KEY to the operator's.",
            field="HOOKSEAL_API_KEY",
        )
    if not key.isascii() or not key.isprintable():
        # It stands in a header.
        raise ConfigurationError(
            "api_key_malformed",
            "Set it to a key as it was printed: it is of visible ASCII.",
            field="HOOKSEAL_API_KEY",
        )
    return key
