"""Records of tenant commands and tenant documents, with their MACs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain import command as commands
from hookseal.domain import tenant as tenants
from hookseal.errors import InvalidCommandError, InvalidInputError
from hookseal.seal.registry import RegistryMac
from hookseal.seal.vault import Vault
from hookseal.tenants.sealed_headers import SealedHeaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.topics import TopicNames
    from hookseal.seal.registry import Genuine

# The API takes bodies of up to 64 KiB; encrypted, 20 custom headers add less than 10 KiB to that. A
# broker takes records of up to 1 MiB.
COMMAND_MAX_BYTES = 128 * 1024


class TenantCodec:
    """The codec of `tenant-commands` and of the tenants' changelog."""

    def __init__(self, names: TopicNames, master_keys: Sequence[bytes]) -> None:
        """Take the current master key first; records of the keys after it are still read."""
        self._commands = names.commands
        self._documents = names.tenants_changelog
        self._mac = RegistryMac(master_keys)
        self._headers = SealedHeaders(Vault(master_keys))

    def command(self, command: Command) -> bytes:
        """Return the value of a command's record.

        Raises:
            InvalidCommandError: `command_too_large`.
        """
        key = command.customer_id.encode()
        sealed = self._headers.in_command(command)
        value = self._mac.attach(self._commands, key, commands.encode(sealed))
        if len(value) > COMMAND_MAX_BYTES:
            raise InvalidCommandError(
                "command_too_large",
                f"The change has {len(value):,} of at most {COMMAND_MAX_BYTES:,} bytes. Give fewer "
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
            raise InvalidCommandError(
                "command_forged",
                "The record has no MAC of a holder of the master key: somebody else wrote it.",
            )
        command = commands.decode(genuine.document)
        if key != command.customer_id.encode():
            raise InvalidCommandError(
                "command_key", "The record's key is not the command's customer id.", field="key"
            )
        try:
            return self._headers.of_command(command)
        except InvalidInputError as error:
            raise InvalidCommandError(error.code, error.message) from None

    def document(self, tenant: Tenant) -> bytes:
        """Return the value of a tenant's record."""
        key = tenant.customer_id.encode()
        sealed = self._headers.in_document(tenant)
        return self._mac.attach(self._documents, key, tenants.encode(sealed))

    def checked_document(self, key: bytes, value: bytes) -> Genuine:
        """Return a tenant's stored document without its MAC.

        Raises:
            InvalidInputError: `tenant_document_forged`.
        """
        genuine = self._mac.checked(self._documents, key, value)
        if genuine is None:
            raise InvalidInputError(
                "tenant_document_forged",
                "The record has no MAC of a holder of the master key: somebody else wrote it.",
            )
        return genuine

    def tenant_of(self, document: bytes) -> Tenant:
        """Read a document that was checked.

        Raises:
            InvalidInputError: `tenant_document_invalid`, `tenant_document_version`,
                `headers_unreadable`.
        """
        return self._headers.of_document(tenants.decode(document))

    def tenant_in(self, key: bytes, value: bytes) -> Tenant:
        """Read a tenant's record.

        Raises:
            InvalidInputError: `tenant_document_forged`, and as `tenant_of`.
        """
        return self.tenant_of(self.checked_document(key, value).document)
