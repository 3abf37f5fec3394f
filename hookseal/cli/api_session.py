"""API sessions of the commands: with the API at HOOKSEAL_API_URL, or with one in this process."""

from __future__ import annotations

import tempfile
import time
from base64 import b64encode
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from hookseal.cli import ui
from hookseal.errors import BrokerError, ConfigurationError, ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.progress import Progress

    from hookseal.api.client import ApiClient
    from hookseal.cli.api_service import Part
    from hookseal.config import Settings

# Seconds for a request that changes nothing.
READ_S = 10.0
# Enough to recognize the events of a batch that is sent again.
_EVENT_IDS = 2000
_BAR_AFTER_S = 2.0
_TENANTS: frozenset[Part] = frozenset({"tenants", "events"})


def ask_tenant(
    customer_id: str,
    method: str,
    path: str | None = "",
    body: Any = None,
    *,
    timeout_s: float = READ_S,
) -> Any:
    """Send a request about one tenant and return the answer.

    `path` is relative to the tenant; None is the collection `/v1/tenants`.

    Raises:
        HooksealError: As `ApiClient.ask` and `client`.
    """
    from hookseal.api.client import tenant_path
    from hookseal.config import load

    async def ask() -> Any:
        where = "/v1/tenants" if path is None else tenant_path(customer_id) + path
        async with client(load(), customer_id=customer_id, timeout_s=timeout_s) as api:
            return await api.ask(method, where, body)

    try:
        with ui.working("Waiting for a worker"):
            return ui.run(ask())
    except ConflictError as error:
        raise ConflictError(error.code, error.message, field=customer_id) from None
    except BrokerError as error:
        if error.code != "no_worker_answered":
            raise
        # The API's text advises to repeat the request with its key, which a person cannot do.
        raise BrokerError(
            error.code,
            f"No worker applied the change within {timeout_s:g} s. It is stored on "
            "`tenant-commands` and takes effect when a worker runs. Do not repeat it.",
        ) from None


@asynccontextmanager
async def client(
    settings: Settings,
    *,
    parts: frozenset[Part] = _TENANTS,
    customer_id: str | None = None,
    timeout_s: float,
) -> AsyncIterator[ApiClient]:
    """Yield a client of the API at HOOKSEAL_API_URL, or of one in this process.

    The API in this process listens on a Unix socket in a folder that only this user can read,
    with a random admin key. It reads these `parts` before the first request, and of the tenants
    only `customer_id` if it is given.

    Raises:
        BrokerError: `broker_unreachable`.
        ConfigurationError: `topic_missing`, `partitions_differ`, `master_key_missing`,
            `socket_unavailable`, `index_unusable`, and as `key_of`.
    """
    from hookseal.api.client import ApiClient

    if settings.api_url:
        async with ApiClient(settings.api_url, key_of(settings), timeout_s=timeout_s) as remote:
            yield remote
        return
    from hookseal.cli.api_service import serve_api
    from hookseal.kafka.partitioner import partition_of
    from hookseal.kafka.topics import partition_count

    own = _own_settings(settings, parts, timeout_s)
    # Before the API starts, so that the error names the broker or topic.
    count = await partition_count(settings.cluster)
    partitions = None if customer_id is None else [partition_of(customer_id, count)]
    with tempfile.TemporaryDirectory(prefix="hookseal-") as folder:
        socket = Path(folder) / "api"
        async with AsyncExitStack() as stack:
            serving = serve_api(own, socket=socket, partitions=partitions, parts=parts)
            try:
                running = await stack.enter_async_context(serving)
            except OSError as error:
                raise ConfigurationError(
                    "socket_unavailable",
                    f"Cannot create a Unix socket: {error.strerror or error}. Set TMPDIR to a "
                    "folder with a shorter name.",
                    field="TMPDIR",
                ) from None
            key = own.admin_key.get_secret_value()
            local = await stack.enter_async_context(
                ApiClient("http://localhost", key, timeout_s=timeout_s, socket=socket)
            )
            if "tenants" in parts:
                await running.model.first()
            indexes = {
                "dead letters": running.letters if "dead_letters" in parts else None,
                "delivery log": running.attempts if "attempts" in parts else None,
            }
            for name, index in indexes.items():
                if index is not None:
                    with ui.progress() as bar:
                        await index.catch_up(on_progress=ReadingBar(bar, name))
            yield local


@asynccontextmanager
async def operator_or_tenant(
    customer_id: str | None, *, parts: frozenset[Part], timeout_s: float
) -> AsyncIterator[tuple[ApiClient, str]]:
    """Yield a client as `client`, and the path of the routes that the key may use.

    The path is `/v1` for the operator, and with a tenant's API key that of `customer_id`.

    Raises:
        ConfigurationError: `admin_only`: a tenant's key needs the tenant's id.
        HooksealError: As `client`.
    """
    from hookseal.api.client import tenant_path
    from hookseal.config import load

    settings = load()
    path = "/v1"
    if is_tenant_key(settings):
        if customer_id is None:
            raise ConfigurationError(
                "admin_only",
                "A tenant's API key gives access to the tenant's own objects only. Name the tenant "
                "with --customer, or use the operator's admin key.",
                field="HOOKSEAL_API_KEY",
            )
        path = tenant_path(customer_id)
    async with client(settings, parts=parts, timeout_s=timeout_s) as api:
        yield api, path


def _own_settings(settings: Settings, parts: frozenset[Part], timeout_s: float) -> Settings:
    from pydantic import SecretStr

    from hookseal.seal.api_keys import new_admin_key

    changed: dict[str, Any] = {
        "admin_key": SecretStr(new_admin_key()),
        "api_write_timeout_s": timeout_s,
        "api_event_ids": _EVENT_IDS,
    }
    if "tenants" in parts or settings.seal_at_rest or settings.master_key.get_secret_value():
        settings.master_key_bytes()
    else:
        # The API needs a master key to start. Without tenants it encrypts and signs nothing.
        changed["master_key"] = SecretStr(b64encode(token_bytes(32)).decode())
    return settings.model_copy(update=changed)


class ReadingBar:
    """Shows a progress bar once reading takes longer than two seconds."""

    def __init__(self, bar: Progress, name: str) -> None:
        self._bar = bar
        self._name = name
        self._began = time.monotonic()
        self._task: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` records are read."""
        if self._task is None:
            if time.monotonic() - self._began < _BAR_AFTER_S:
                return
            self._task = self._bar.add_task(f"Reading the {self._name}", total=total)
        self._bar.update(self._task, completed=done, total=total)


def key_of(settings: Settings) -> str:
    """Return the key for the API at HOOKSEAL_API_URL.

    Raises:
        ConfigurationError: `api_key_missing`, `api_key_malformed`.
    """
    keys = (settings.api_key, settings.admin_key)
    key = next(filter(None, (one.get_secret_value().strip() for one in keys)), "")
    if not key:
        raise ConfigurationError(
            "api_key_missing",
            "Set HOOKSEAL_API_KEY to an API key, or HOOKSEAL_ADMIN_KEY to the operator's.",
            field="HOOKSEAL_API_KEY",
        )
    if not key.isascii() or not key.isprintable():
        # The key is sent in a header.
        raise ConfigurationError(
            "api_key_malformed",
            "The key has characters that are not visible ASCII. Set the key as it was printed.",
            field="HOOKSEAL_API_KEY",
        )
    return key


def is_tenant_key(settings: Settings) -> bool:
    """Return whether the key for the API at HOOKSEAL_API_URL is a tenant's.

    Raises:
        ConfigurationError: As `key_of`.
    """
    from hookseal.seal.api_keys import TENANT_PREFIX

    return bool(settings.api_url) and key_of(settings).startswith(TENANT_PREFIX)
