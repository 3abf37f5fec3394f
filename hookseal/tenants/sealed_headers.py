"""Encrypts custom headers of endpoints on Kafka: their values are the tenants' secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hookseal.domain.command import AddEndpoint, ChangeEndpoint
from hookseal.errors import InvalidInputError
from hookseal.seal.vault import is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.seal.vault import Vault

    Change = Callable[..., str]


class SealedHeaders:
    """Encrypts the values before a record is written, and decrypts them when it is read."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def in_command(self, command: Command) -> Command:
        """Return the command with encrypted values."""
        return _changed_command(command, self._vault.seal)

    def in_document(self, tenant: Tenant) -> Tenant:
        """Return the tenant with encrypted values."""
        return _changed_tenant(tenant, self._vault.seal)

    def of_command(self, command: Command) -> Command:
        """Return the command with decrypted values.

        Raises:
            InvalidInputError: `headers_unreadable`.
        """
        return _changed_command(command, self._opened)

    def of_document(self, tenant: Tenant) -> Tenant:
        """Return the tenant with decrypted values.

        Raises:
            InvalidInputError: `headers_unreadable`.
        """
        return _changed_tenant(tenant, self._opened)

    def _opened(self, value: str, *place: str) -> str:
        if not is_sealed(value):
            return value
        try:
            return self._vault.open(value, *place)
        except ValueError:
            raise InvalidInputError(
                "headers_unreadable",
                "Custom headers are sealed under a master key that is not known here; give the "
                "one before as well, as HOOKSEAL_MASTER_KEY_PREVIOUS.",
            ) from None


def _changed_command(command: Command, change: Change) -> Command:
    if not isinstance(command, AddEndpoint | ChangeEndpoint) or not command.headers:
        return command
    place = (command.customer_id, command.endpoint_id)
    return replace(command, headers=_changed(command.headers, change, *place))


def _changed_tenant(tenant: Tenant, change: Change) -> Tenant:
    if not any(endpoint.headers for endpoint in tenant.endpoints):
        return tenant
    return replace(
        tenant,
        endpoints=tuple(
            replace(
                endpoint,
                headers=_changed(endpoint.headers, change, tenant.customer_id, endpoint.id),
            )
            for endpoint in tenant.endpoints
        ),
    )


def _changed(headers: Mapping[str, str], change: Change, *place: str) -> dict[str, str]:
    return {name: change(value, *place, name) for name, value in headers.items()}
