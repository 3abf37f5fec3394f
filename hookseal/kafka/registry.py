"""Commands and tenant documents as they stand on their topics: encoded, with their MACs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain import command as commands
from hookseal.domain import tenant as tenants
from hookseal.errors import InvalidCommandError, InvalidInputError

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.topics import TopicNames
    from hookseal.seal.registry import RegistryMac

__all__ = ["Registry"]


class Registry:
    """The codec of `tenant-commands` and of the tenants' changelog."""

    def __init__(self, names: TopicNames, mac: RegistryMac) -> None:
        self._commands = names.commands
        self._documents = names.tenants_changelog
        self._mac = mac

    def command(self, command: Command) -> bytes:
        """Return the value of a command's record."""
        key = command.customer_id.encode()
        return self._mac.attach(self._commands, key, commands.encode(command))

    def command_in(self, key: bytes | None, value: bytes | None) -> Command:
        """Read a command's record.

        Raises:
            InvalidCommandError: `command_forged`, `command_key`, `command_invalid`,
                `command_version`.
        """
        text = self._mac.checked(self._commands, key or b"", value or b"")
        if text is None:
            raise InvalidCommandError(
                "command_forged",
                "The record has no MAC of a holder of the master key: somebody else wrote it.",
            )
        command = commands.decode(text)
        if key != command.customer_id.encode():
            raise InvalidCommandError(
                "command_key", "The record's key is not the command's customer id.", field="key"
            )
        return command

    def document(self, tenant: Tenant) -> bytes:
        """Return the value of a tenant's record."""
        key = tenant.customer_id.encode()
        return self._mac.attach(self._documents, key, tenants.encode(tenant))

    def checked_document(self, key: bytes, value: bytes) -> bytes:
        """Return a tenant's document without its MAC.

        Raises:
            InvalidInputError: `tenant_document_forged`.
        """
        document = self._mac.checked(self._documents, key, value)
        if document is None:
            raise InvalidInputError(
                "tenant_document_forged",
                "The record has no MAC of a holder of the master key: somebody else wrote it.",
            )
        return document

    def tenant_in(self, key: bytes, value: bytes) -> Tenant:
        """Read a tenant's record.

        Raises:
            InvalidInputError: `tenant_document_forged`, `tenant_document_invalid`,
                `tenant_document_version`.
        """
        return tenants.decode(self.checked_document(key, value))

    def is_current(self, key: bytes, value: bytes) -> bool:
        """Return whether a tenant's record has a MAC under the current master key."""
        return self._mac.is_current(self._documents, key, value)
