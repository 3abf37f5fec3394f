"""Records of tenant commands and tenant documents: MACs, and encrypted custom headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hookseal.domain import command as commands
from hookseal.domain import tenant as tenants
from hookseal.domain.command import AddEndpoint, ChangeEndpoint
from hookseal.errors import InvalidCommandError, InvalidInputError
from hookseal.seal.registry import RegistryMac
from hookseal.seal.vault import Vault, is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.topics import TopicNames
    from hookseal.seal.registry import Genuine

    # Arguments: a header's value, the customer id, the endpoint id, the header's name.
    Convert = Callable[[str, str, str, str], str]

# The API accepts bodies of up to 64 KiB; encryption of 20 custom headers adds less than 10 KiB. A
# broker accepts records of up to 1 MiB.
COMMAND_MAX_BYTES = 128 * 1024

_NO_MAC = "The record has no MAC of a known master key: it was not written by this hookseal."


class TenantCodec:
    """The codec of `tenant-commands` and of the tenants' changelog; encrypts custom headers."""

    def __init__(self, names: TopicNames, master_keys: Sequence[bytes]) -> None:
        """Give the current master key first; records of the other keys are still read."""
        self._commands = names.commands
        self._documents = names.tenants_changelog
        self._mac = RegistryMac(master_keys)
        self._vault = Vault(master_keys)

    def command(self, command: Command) -> bytes:
        """Return the value of a command's record.

        Raises:
            InvalidCommandError: `command_too_large`.
        """
        encoded = commands.encode(_converted_command(command, self._vault.seal))
        value = self._mac.attach(self._commands, command.customer_id.encode(), encoded)
        if len(value) > COMMAND_MAX_BYTES:
            raise InvalidCommandError(
                "command_too_large",
                f"The change has {len(value):,} of at most {COMMAND_MAX_BYTES:,} bytes. Send fewer "
                "or shorter event types and headers.",
            )
        return value

    def command_in(self, key: bytes | None, value: bytes | None) -> Command:
        """Read a command's record.

        Raises:
            InvalidCommandError: `command_forged`, `command_key`, `command_invalid`,
                `command_version`, `headers_unreadable`.
        """
        genuine = self._mac.checked(self._commands, key or b"", value or b"")
        if genuine is None:
            raise InvalidCommandError("command_forged", _NO_MAC)
        command = commands.decode(genuine.document)
        if key != command.customer_id.encode():
            raise InvalidCommandError(
                "command_key", "The record's key is not the command's customer id.", field="key"
            )
        try:
            return _converted_command(command, self._decrypt)
        except InvalidInputError as error:
            raise InvalidCommandError(error.code, error.message) from None

    def document(self, tenant: Tenant) -> bytes:
        """Return the value of a tenant's record."""
        encoded = tenants.encode(_converted_tenant(tenant, self._vault.seal))
        return self._mac.attach(self._documents, tenant.customer_id.encode(), encoded)

    def checked_document(self, key: bytes, value: bytes) -> Genuine:
        """Return a tenant's stored document without its MAC.

        Raises:
            InvalidInputError: `tenant_document_forged`.
        """
        genuine = self._mac.checked(self._documents, key, value)
        if genuine is None:
            raise InvalidInputError("tenant_document_forged", _NO_MAC)
        return genuine

    def tenant_of(self, document: bytes) -> Tenant:
        """Read a document that was checked.

        Raises:
            InvalidInputError: `tenant_document_invalid`, `tenant_document_version`,
                `headers_unreadable`.
        """
        return _converted_tenant(tenants.decode(document), self._decrypt)

    def tenant_in(self, key: bytes, value: bytes) -> Tenant:
        """Read a tenant's record; raise as `checked_document` and `tenant_of`."""
        return self.tenant_of(self.checked_document(key, value).document)

    def _decrypt(self, value: str, customer_id: str, endpoint_id: str, name: str) -> str:
        if not is_sealed(value):
            return value
        try:
            return self._vault.open(value, customer_id, endpoint_id, name)
        except ValueError:
            raise InvalidInputError(
                "headers_unreadable",
                "Custom headers are encrypted with an unknown master key. Add the previous key to "
                "HOOKSEAL_MASTER_KEY_PREVIOUS.",
            ) from None


def _converted_command(command: Command, convert: Convert) -> Command:
    if not isinstance(command, AddEndpoint | ChangeEndpoint) or not command.headers:
        return command
    headers = _converted(command.headers, convert, command.customer_id, command.endpoint_id)
    return replace(command, headers=headers)


def _converted_tenant(tenant: Tenant, convert: Convert) -> Tenant:
    if not any(endpoint.headers for endpoint in tenant.endpoints):
        return tenant
    return replace(
        tenant,
        endpoints=tuple(
            replace(
                endpoint,
                headers=_converted(endpoint.headers, convert, tenant.customer_id, endpoint.id),
            )
            for endpoint in tenant.endpoints
        ),
    )


def _converted(
    headers: Mapping[str, str], convert: Convert, customer_id: str, endpoint_id: str
) -> dict[str, str]:
    return {name: convert(value, customer_id, endpoint_id, name) for name, value in headers.items()}
