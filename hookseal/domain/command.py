"""Tenant commands and how each changes a tenant.

Tenants change in `apply` only. It is pure, so every process that reads the same commands builds the
same tenants table.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec.structs import replace

from hookseal.domain.conflicts import (
    ENDPOINTS_MAX,
    PUBLIC_KEYS_MAX,
    TENANT_TOO_LARGE,
    conflict,
    too_large,
)
from hookseal.domain.endpoint import (
    Endpoint,
    EndpointLimits,
    EndpointOrdering,
    Suspension,
    Why,
    check_event_types,
    check_limits,
    check_retry_delays,
)
from hookseal.domain.event import check_customer_id
from hookseal.domain.tenant import (
    API_KEYS_MAX,
    DOCUMENT_HARD_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    ApiKey,
    CommandResult,
    PublicKey,
    Tenant,
    check_scopes,
    document_bytes,
)
from hookseal.errors import HooksealError, InvalidCommandError

COMMAND_VERSION = 1
# A tenant remembers both for its latest commands, so their size counts: see `RECENT_MAX_BYTES`.
CommandId = Annotated[str, msgspec.Meta(max_length=128)]
Fingerprint = Annotated[str, msgspec.Meta(max_length=64)]


class _Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The members of every command.

    Attributes:
        id: Unique; a command that is read twice is applied once.
        at: Unix seconds of the request.
        if_revision: Apply only to this revision of the tenant; None = to any.
        fingerprint: Hash of the request; detects an id that is reused for another request.
            Empty where ids are never reused.
    """

    customer_id: str
    id: CommandId
    at: float
    if_revision: int | None = None
    fingerprint: Fingerprint = ""
    v: int = COMMAND_VERSION

    is_internal: ClassVar[bool] = False
    """A worker's own idempotent command for the next owner of the partition. The revision stays, so
    that it never makes a tenant's own change fail, and the result is not kept."""

    def change(self, tenant: Tenant) -> Tenant | None:
        """Return the changed tenant; None = deleted. Raises HooksealError with a code."""
        raise NotImplementedError


class CreateTenant(_Command, frozen=True, tag="tenant.create"):
    """Create a tenant, with its first API key if one is given."""

    name: str = ""
    api_key: ApiKey | None = None

    def create(self) -> Tenant:
        tenant = Tenant(check_customer_id(self.customer_id), 0, self.name)
        return tenant if self.api_key is None else _with_api_key(tenant, self.api_key)


class EnableTenant(_Command, frozen=True, tag="tenant.enable"):
    """Deliver the tenant's events again."""

    def change(self, tenant: Tenant) -> Tenant:
        return replace(tenant, enabled=True)


class DisableTenant(_Command, frozen=True, tag="tenant.disable"):
    """Dead-letter the tenant's events from now on."""

    def change(self, tenant: Tenant) -> Tenant:
        return replace(tenant, enabled=False)


class DeleteTenant(_Command, frozen=True, tag="tenant.delete"):
    """Delete the tenant."""

    def change(self, _: Tenant) -> None:
        return None


class RewriteTenant(_Command, frozen=True, tag="tenant.rewrite"):
    """Rewrite the document unchanged, under the current master key."""

    is_internal = True

    def change(self, tenant: Tenant) -> Tenant:
        return tenant


class AddApiKey(_Command, frozen=True, tag="api_key.add"):
    """Accept one more key at the API."""

    api_key: ApiKey

    def change(self, tenant: Tenant) -> Tenant:
        return _with_api_key(tenant, self.api_key)


class RemoveApiKey(_Command, frozen=True, tag="api_key.remove"):
    """Reject a key at the API from now on."""

    key_id: str

    def change(self, tenant: Tenant) -> Tenant:
        left = tuple(key for key in tenant.api_keys if key.id != self.key_id)
        if len(left) == len(tenant.api_keys):
            raise conflict("unknown_api_key")
        return replace(tenant, api_keys=left)


class AddPublicKey(_Command, frozen=True, tag="public_key.add"):
    """Activate a key; the previous active key becomes `retiring`."""

    kid: str
    alg: str
    jwk: dict[str, str]

    def change(self, tenant: Tenant) -> Tenant:
        if any(key.kid == self.kid for key in tenant.public_keys):
            raise conflict("key_exists")
        if len(tenant.public_keys) >= PUBLIC_KEYS_MAX:
            raise conflict("too_many_keys")
        older = tuple(replace(key, state="retiring") for key in tenant.public_keys)
        return replace(tenant, public_keys=(*older, PublicKey(self.kid, self.alg, self.jwk)))


class RemovePublicKey(_Command, frozen=True, tag="public_key.remove"):
    """Remove a key. Without an active key events are dead-lettered until one is added."""

    kid: str

    def change(self, tenant: Tenant) -> Tenant:
        left = tuple(key for key in tenant.public_keys if key.kid != self.kid)
        if len(left) == len(tenant.public_keys):
            raise conflict("unknown_key")
        return replace(tenant, public_keys=left)


class AddEndpoint(_Command, frozen=True, tag="endpoint.add"):
    """Add an endpoint. The sender of the command has checked its URL and headers."""

    endpoint_id: str
    url: str
    event_types: tuple[str, ...]
    headers: dict[str, str] = {}
    description: str = ""
    retry_delays_s: tuple[float, ...] | None = None
    limits: EndpointLimits = EndpointLimits()
    ordering: EndpointOrdering | None = None

    def change(self, tenant: Tenant) -> Tenant:
        if tenant.endpoint(self.endpoint_id) is not None:
            raise conflict("endpoint_exists")
        if len(tenant.endpoints) >= ENDPOINTS_MAX:
            raise conflict("too_many_endpoints")
        delays_s = self.retry_delays_s
        added = Endpoint(
            id=self.endpoint_id,
            url=self.url,
            event_types=check_event_types(self.event_types),
            headers=self.headers,
            description=self.description,
            retry_delays_s=None if delays_s is None else check_retry_delays(delays_s),
            limits=check_limits(self.limits),
            ordering=self.ordering,
        )
        return replace(tenant, endpoints=(*tenant.endpoints, added))


class _EndpointCommand(_Command, frozen=True):
    endpoint_id: str

    def change(self, tenant: Tenant) -> Tenant:
        if tenant.endpoint(self.endpoint_id) is None:
            raise conflict("unknown_endpoint")
        changed = (
            self.change_endpoint(item) if item.id == self.endpoint_id else item
            for item in tenant.endpoints
        )
        return replace(tenant, endpoints=tuple(item for item in changed if item is not None))

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint | None:
        """Return the changed endpoint; None = removed."""
        raise NotImplementedError


class ChangeEndpoint(_EndpointCommand, frozen=True, tag="endpoint.change"):
    """Change the given members.

    `operators_schedule` restores the operator's retry policy, `operators_ordering` its ordering
    mode.
    """

    url: str | None = None
    event_types: tuple[str, ...] | None = None
    headers: dict[str, str] | None = None
    description: str | None = None
    enabled: bool | None = None
    disabled_reason: str | None = None
    retry_delays_s: tuple[float, ...] | None = None
    operators_schedule: bool = False
    limits: EndpointLimits | None = None
    ordering: EndpointOrdering | None = None
    operators_ordering: bool = False

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        names = ("url", "headers", "description", "enabled", "ordering")
        changes: dict[str, Any] = {
            name: value for name in names if (value := getattr(self, name)) is not None
        }
        if self.event_types is not None:
            changes["event_types"] = check_event_types(self.event_types)
        if self.operators_ordering:
            changes["ordering"] = None
        if self.operators_schedule:
            changes["retry_delays_s"] = None
        if self.retry_delays_s is not None:
            changes["retry_delays_s"] = check_retry_delays(self.retry_delays_s)
        if self.limits is not None:
            changes["limits"] = check_limits(self.limits)
        if self.enabled is not None:
            changes["disabled_reason"] = None if self.enabled else self.disabled_reason or "asked"
        return replace(endpoint, **changes)


class RemoveEndpoint(_EndpointCommand, frozen=True, tag="endpoint.remove"):
    """Remove an endpoint."""

    def change_endpoint(self, _: Endpoint) -> None:
        return None


class RotateSecret(_EndpointCommand, frozen=True, tag="endpoint.rotate_secret"):
    """Sign with the next secret, and with the previous one as well for `overlap_s` seconds."""

    overlap_s: float = 86_400.0

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        version, until = endpoint.secret_version + 1, self.at + self.overlap_s
        return replace(endpoint, secret_version=version, previous_secret_until=until)


class SuspendEndpoint(_EndpointCommand, frozen=True, tag="endpoint.suspend"):
    """Defer the endpoint's events from now on, to `dead-letters` from offset `letters_from`."""

    why: Why
    owner: str
    letters_from: int

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        if endpoint.suspension is not None:
            raise conflict("endpoint_suspended_already")
        if self.why == "paused" and endpoint.paused_at is None:
            # Resumed meanwhile.
            raise conflict("endpoint_not_suspended")
        suspension = Suspension(self.at, self.why, self.owner, self.letters_from)
        return replace(endpoint, suspension=suspension)


class _SuspensionCommand(_EndpointCommand, frozen=True):
    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        if endpoint.suspension is None:
            raise conflict("endpoint_not_suspended")
        return replace(endpoint, suspension=self.change_suspension(endpoint.suspension))

    def change_suspension(self, suspension: Suspension) -> Suspension | None:
        """Return the changed suspension; None = ended."""
        raise NotImplementedError


class PauseEndpoint(_EndpointCommand, frozen=True, tag="endpoint.pause"):
    """Defer the endpoint's events, and make no attempt until the endpoint is resumed."""

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        return endpoint if endpoint.paused_at is not None else replace(endpoint, paused_at=self.at)


class ResumeEndpoint(_EndpointCommand, frozen=True, tag="endpoint.resume"):
    """Probe the endpoint now, and deliver its deferred events if it accepts."""

    def change_endpoint(self, endpoint: Endpoint) -> Endpoint:
        suspension = endpoint.suspension
        if suspension is None:
            if endpoint.paused_at is None:
                raise conflict("endpoint_not_suspended")
            return replace(endpoint, paused_at=None)
        # The pause is over. What is left of it is a backlog.
        why: Why = "behind" if suspension.why == "paused" else suspension.why
        resumed = replace(suspension, why=why, resume_asked_at=self.at)
        return replace(endpoint, paused_at=None, suspension=resumed)


class EndSuspension(_SuspensionCommand, frozen=True, tag="endpoint.end_suspension"):
    """End the suspension: no deferred event is left."""

    owner: str

    def change_suspension(self, suspension: Suspension) -> None:
        _check_owner(suspension, self.owner)


class ClaimSuspension(_SuspensionCommand, frozen=True, tag="endpoint.claim_suspension"):
    """Record the new owner of the partition."""

    owner: str

    is_internal = True

    def change_suspension(self, suspension: Suspension) -> Suspension:
        return replace(suspension, owner=self.owner)


class NoteDrained(_SuspensionCommand, frozen=True, tag="endpoint.note_drained"):
    """Record that no deferred event is left below this offset on `dead-letters`.

    Attributes:
        attempted_at: Unix seconds of the first attempt at the first one from there; None = none.
    """

    owner: str
    letters_from: int
    attempted_at: float | None = None

    is_internal = True

    def change_suspension(self, suspension: Suspension) -> Suspension:
        _check_owner(suspension, self.owner)
        if self.letters_from < suspension.letters_from:
            return suspension
        return replace(suspension, letters_from=self.letters_from, attempted_at=self.attempted_at)


Command = (
    CreateTenant
    | EnableTenant
    | DisableTenant
    | DeleteTenant
    | AddApiKey
    | RemoveApiKey
    | AddPublicKey
    | RemovePublicKey
    | AddEndpoint
    | ChangeEndpoint
    | RemoveEndpoint
    | RotateSecret
    | SuspendEndpoint
    | PauseEndpoint
    | ResumeEndpoint
    | EndSuspension
    | ClaimSuspension
    | NoteDrained
    | RewriteTenant
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def encode(command: Command) -> bytes:
    """Encode the command for `tenant-commands`."""
    return _encoder.encode({**msgspec.to_builtins(command), "v": command.v})


def decode(text: bytes) -> Command:
    """Read a command, or raise InvalidCommandError: `command_invalid`, `command_version`."""
    try:
        command = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Only the class: the text of the error can contain the refused value.
        raise InvalidCommandError("command_invalid", f"Invalid: {type(error).__name__}.") from None
    if command.v != COMMAND_VERSION:
        hint = (
            f"The command has version {command.v}; this release reads {COMMAND_VERSION}. Upgrade."
        )
        raise InvalidCommandError("command_version", hint)
    return command


def apply(tenant: Tenant | None, command: Command) -> Tenant | None:
    """Return the tenant after the command; None = no tenant.

    A refused command changes only the tenant's list of recent commands, where its sender finds the
    code. A command that was applied before changes nothing at all.
    """
    if tenant is not None and tenant.result_of(command.id) is not None:
        return tenant
    try:
        changed = _change(tenant, command)
        if changed is not None:
            _check_size(tenant, changed, command)
    except HooksealError as error:
        return refused(tenant, command, error.code)
    if changed is None or command.is_internal:
        return changed
    revision = 1 if tenant is None else tenant.revision + 1
    return _noted(replace(changed, revision=revision), command, "ok")


def refused(tenant: Tenant | None, command: Command, code: str) -> Tenant | None:
    """Return the tenant unchanged, with the code where the command's sender finds it."""
    return tenant if tenant is None or command.is_internal else _noted(tenant, command, code)


def command_result(tenant: Tenant | None, command: Command) -> Tenant | None:
    """Return the tenant after an applied command; None = deleted.

    Raises ConflictError: `unknown_tenant`, `idempotency_key_reused`, or the code of the refusal.
    """
    result = None if tenant is None else tenant.recent_of(command.id)
    if tenant is None or result is None:
        if isinstance(command, DeleteTenant):
            return None
        raise conflict("unknown_tenant", field=command.customer_id)
    if result.fingerprint != command.fingerprint:
        raise conflict("idempotency_key_reused")
    if result.code == TENANT_TOO_LARGE:
        raise too_large(tenant)
    if result.code != "ok":
        raise conflict(result.code, field=command.customer_id)
    return tenant


def _change(tenant: Tenant | None, command: Command) -> Tenant | None:
    if isinstance(command, CreateTenant):
        if tenant is not None:
            raise conflict("tenant_exists")
        return command.create()
    if tenant is None:
        raise conflict("unknown_tenant")
    if command.if_revision is not None and command.if_revision != tenant.revision:
        raise conflict("revision_conflict")
    return command.change(tenant)


def _check_size(before: Tenant | None, after: Tenant, command: Command) -> None:
    limit = DOCUMENT_MAX_BYTES if _carries_text(command) else DOCUMENT_HARD_MAX_BYTES
    size = document_bytes(after)
    # A document that shrinks is always accepted: it is the way back below the limit.
    if size > limit and (before is None or size > document_bytes(before)):
        raise conflict(TENANT_TOO_LARGE)


def _carries_text(command: Command) -> bool:
    """Return whether the command carries text of the tenant's choice.

    Other commands suspend, disable, rotate, or exchange one of a few keys. They must not fail
    because a description is long.
    """
    if isinstance(command, ChangeEndpoint):
        texts = ("url", "event_types", "headers", "description", "retry_delays_s", "limits")
        return any(getattr(command, name) is not None for name in texts)
    return isinstance(command, CreateTenant | AddEndpoint)


def _noted(tenant: Tenant, command: Command, code: str) -> Tenant:
    return tenant.noting(CommandResult(command.id, code, command.fingerprint))


def _with_api_key(tenant: Tenant, added: ApiKey) -> Tenant:
    if tenant.api_key(added.id) is not None:
        raise conflict("api_key_exists")
    if len(tenant.api_keys) >= API_KEYS_MAX:
        raise conflict("too_many_api_keys")
    check_scopes(added.scopes)
    return replace(tenant, api_keys=(*tenant.api_keys, added))


def _check_owner(suspension: Suspension, owner: str) -> None:
    if suspension.owner != owner:
        raise conflict("suspension_taken_over")
