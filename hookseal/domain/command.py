"""Tenant commands and how they change a tenant.

`apply` is the only place where tenants change; it is pure, so that every process that
reads the same commands builds the same table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec.structs import replace

from hookseal.domain.api_key import API_KEYS_MAX, ApiKey, check_scopes
from hookseal.domain.conflicts import ENDPOINTS_MAX, PUBLIC_KEYS_MAX, conflict
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.event import check_customer_id
from hookseal.domain.limits import EndpointLimits, check_limits
from hookseal.domain.subscription import check_event_types
from hookseal.domain.suspension import Suspension, Why
from hookseal.domain.tenant import CommandResult, PublicKey, Tenant
from hookseal.domain.tenant_size import (
    DOCUMENT_HARD_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    TENANT_TOO_LARGE,
    document_bytes,
)
from hookseal.errors import HooksealError, InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_VERSION = 1
# A tenant remembers both for its latest commands, so their size counts: see `tenant_size`.
CommandId = Annotated[str, msgspec.Meta(max_length=128)]
Fingerprint = Annotated[str, msgspec.Meta(max_length=64)]
RETRY_DELAYS_MAX = 50
RETRY_DELAY_MAX_S = 3600.0


class _Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The members of every command.

    Attributes:
        id: Unique; a command that comes twice is applied once.
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


class CreateTenant(_Command, frozen=True, tag="tenant.create"):
    """Create a tenant, with its first API key if one is given."""

    name: str = ""
    api_key: ApiKey | None = None


class EnableTenant(_Command, frozen=True, tag="tenant.enable"):
    """Deliver the tenant's events again."""


class DisableTenant(_Command, frozen=True, tag="tenant.disable"):
    """Dead-letter the tenant's events from now on."""


class DeleteTenant(_Command, frozen=True, tag="tenant.delete"):
    """Forget the tenant."""


class AddApiKey(_Command, frozen=True, tag="api_key.add"):
    """Accept one more key at the API."""

    api_key: ApiKey


class RemoveApiKey(_Command, frozen=True, tag="api_key.remove"):
    """Accept a key no more."""

    key_id: str


class AddPublicKey(_Command, frozen=True, tag="public_key.add"):
    """Activate a key; the previous active key becomes `retiring`."""

    kid: str
    alg: str
    jwk: dict[str, str]


class RemovePublicKey(_Command, frozen=True, tag="public_key.remove"):
    """Forget a key. Without an active one nothing can be sealed, until one is added."""

    kid: str


class AddEndpoint(_Command, frozen=True, tag="endpoint.add"):
    """Add an endpoint. The sender has checked its URL and headers."""

    endpoint_id: str
    url: str
    event_types: tuple[str, ...]
    headers: dict[str, str] = {}
    description: str = ""
    retry_delays_s: tuple[float, ...] | None = None
    limits: EndpointLimits = EndpointLimits()


class ChangeEndpoint(_Command, frozen=True, tag="endpoint.change"):
    """Change the given members, keep the others.

    Attributes:
        limits: In the place of all that there were.
    """

    endpoint_id: str
    url: str | None = None
    event_types: tuple[str, ...] | None = None
    headers: dict[str, str] | None = None
    description: str | None = None
    enabled: bool | None = None
    disabled_reason: str | None = None
    retry_delays_s: tuple[float, ...] | None = None
    operators_schedule: bool = False
    limits: EndpointLimits | None = None


class RemoveEndpoint(_Command, frozen=True, tag="endpoint.remove"):
    """Forget an endpoint."""

    endpoint_id: str


class RotateSecret(_Command, frozen=True, tag="endpoint.rotate_secret"):
    """Sign with the next secret, and with the one before it for `overlap_s` seconds."""

    endpoint_id: str
    overlap_s: float = 86_400.0


class SuspendEndpoint(_Command, frozen=True, tag="endpoint.suspend"):
    """Set the endpoint's events aside from now on.

    Attributes:
        why: See `hookseal.domain.suspension`.
        letters_from: End of `dead-letters` before the first event was deferred.
    """

    endpoint_id: str
    why: Why
    owner: str
    letters_from: int


class ResumeEndpoint(_Command, frozen=True, tag="endpoint.resume"):
    """Probe the endpoint now, and deliver its deferred events if it accepts."""

    endpoint_id: str


class EndSuspension(_Command, frozen=True, tag="endpoint.end_suspension"):
    """End the suspension: no deferred event is left."""

    endpoint_id: str
    owner: str


class InternalCommand(_Command, frozen=True):
    """A worker's own command, for the next owner of the partition.

    The tenant's revision stays, so that it never makes a tenant's own change fail, and it
    is not kept among the recent commands. It is idempotent.
    """


class RewriteTenant(InternalCommand, frozen=True, tag="tenant.rewrite"):
    """Rewrite the document unchanged, under the current master key."""


class ClaimSuspension(InternalCommand, frozen=True, tag="endpoint.claim_suspension"):
    """Record the new owner of the partition."""

    endpoint_id: str
    owner: str


class NoteDrained(InternalCommand, frozen=True, tag="endpoint.note_drained"):
    """Record that no deferred event is left below this offset on `dead-letters`."""

    endpoint_id: str
    owner: str
    letters_from: int


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
    """Read a command.

    Raises:
        InvalidCommandError: `command_invalid`, `command_version`.
    """
    try:
        command = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Only the class: the text of the error can contain the refused value.
        raise InvalidCommandError(
            "command_invalid", f"Not a command: {type(error).__name__}."
        ) from None
    if command.v != COMMAND_VERSION:
        raise InvalidCommandError(
            "command_version",
            f"The command has version {command.v}; this release reads {COMMAND_VERSION}. Upgrade.",
        )
    return command


def apply(tenant: Tenant | None, command: Command) -> Tenant | None:
    """Return the tenant after the command; None = there is none.

    A refused command changes nothing but the tenant's list of recent commands, where its
    sender finds the code. A command that was applied before changes nothing at all.
    """
    if tenant is not None and tenant.result_of(command.id) is not None:
        return tenant
    try:
        changed = _change(tenant, command)
        if changed is not None:
            _check_size(tenant, changed, command)
    except HooksealError as error:
        return refused(tenant, command, error.code)
    if changed is None or isinstance(command, InternalCommand):
        return changed
    revision = 1 if tenant is None else tenant.revision + 1
    return replace(changed, revision=revision).noting(_result(command, "ok"))


def refused(tenant: Tenant | None, command: Command, code: str) -> Tenant | None:
    """Return the tenant unchanged, with the code where the command's sender finds it."""
    if tenant is None or isinstance(command, InternalCommand):
        return tenant
    return tenant.noting(_result(command, code))


def _check_size(before: Tenant | None, after: Tenant, command: Command) -> None:
    limit = DOCUMENT_MAX_BYTES if _carries_text(command) else DOCUMENT_HARD_MAX_BYTES
    size = document_bytes(after)
    # A document that shrinks is always accepted: it is the way back below the limit.
    if size > limit and (before is None or size > document_bytes(before)):
        raise conflict(TENANT_TOO_LARGE)


def _carries_text(command: Command) -> bool:
    """Return whether the command carries text of the tenant's choice.

    Other commands are bounded by what they are: they suspend, disable, rotate, or exchange one of a
    few keys. They must not fail because of the length of a description.
    """
    if isinstance(command, ChangeEndpoint):
        return any(getattr(command, name) is not None for name in _TEXTS)
    return isinstance(command, CreateTenant | AddEndpoint)


def _result(command: Command, code: str) -> CommandResult:
    return CommandResult(command.id, code, command.fingerprint)


def _change(tenant: Tenant | None, command: Command) -> Tenant | None:
    if isinstance(command, CreateTenant):
        return _create(tenant, command)
    if tenant is None:
        raise conflict("unknown_tenant")
    if command.if_revision is not None and command.if_revision != tenant.revision:
        raise conflict("revision_conflict")
    return _CHANGES[type(command)](tenant, command)


def _create(tenant: Tenant | None, command: CreateTenant) -> Tenant:
    if tenant is not None:
        raise conflict("tenant_exists")
    made = Tenant(check_customer_id(command.customer_id), 0, command.name)
    return made if command.api_key is None else _with_api_key(made, command.api_key)


def _enable(tenant: Tenant, _: EnableTenant) -> Tenant:
    return replace(tenant, enabled=True)


def _disable(tenant: Tenant, _: DisableTenant) -> Tenant:
    return replace(tenant, enabled=False)


def _delete(_: Tenant, __: DeleteTenant) -> None:
    return None


def _rewrite(tenant: Tenant, _: RewriteTenant) -> Tenant:
    return tenant


def _add_api_key(tenant: Tenant, command: AddApiKey) -> Tenant:
    return _with_api_key(tenant, command.api_key)


def _with_api_key(tenant: Tenant, added: ApiKey) -> Tenant:
    if tenant.api_key(added.id) is not None:
        raise conflict("api_key_exists")
    if len(tenant.api_keys) >= API_KEYS_MAX:
        raise conflict("too_many_api_keys")
    check_scopes(added.scopes)
    return replace(tenant, api_keys=(*tenant.api_keys, added))


def _remove_api_key(tenant: Tenant, command: RemoveApiKey) -> Tenant:
    left = tuple(key for key in tenant.api_keys if key.id != command.key_id)
    if len(left) == len(tenant.api_keys):
        raise conflict("unknown_api_key")
    return replace(tenant, api_keys=left)


def _add_key(tenant: Tenant, command: AddPublicKey) -> Tenant:
    if any(key.kid == command.kid for key in tenant.public_keys):
        raise conflict("key_exists")
    if len(tenant.public_keys) >= PUBLIC_KEYS_MAX:
        raise conflict("too_many_keys")
    older = tuple(replace(key, state="retiring") for key in tenant.public_keys)
    added = PublicKey(command.kid, command.alg, command.jwk)
    return replace(tenant, public_keys=(*older, added))


def _remove_key(tenant: Tenant, command: RemovePublicKey) -> Tenant:
    left = tuple(key for key in tenant.public_keys if key.kid != command.kid)
    if len(left) == len(tenant.public_keys):
        raise conflict("unknown_key")
    return replace(tenant, public_keys=left)


def _add_endpoint(tenant: Tenant, command: AddEndpoint) -> Tenant:
    if tenant.endpoint(command.endpoint_id) is not None:
        raise conflict("endpoint_exists")
    if len(tenant.endpoints) >= ENDPOINTS_MAX:
        raise conflict("too_many_endpoints")
    added = Endpoint(
        id=command.endpoint_id,
        url=command.url,
        event_types=check_event_types(command.event_types),
        headers=command.headers,
        description=command.description,
        retry_delays_s=(
            None if command.retry_delays_s is None else check_retry_delays(command.retry_delays_s)
        ),
        limits=check_limits(command.limits),
    )
    return replace(tenant, endpoints=(*tenant.endpoints, added))


def _change_endpoint(tenant: Tenant, command: ChangeEndpoint) -> Tenant:
    names = ("url", "headers", "description", "enabled")
    changes: dict[str, Any] = {
        name: value for name in names if (value := getattr(command, name)) is not None
    }
    if command.event_types is not None:
        changes["event_types"] = check_event_types(command.event_types)
    if command.operators_schedule:
        changes["retry_delays_s"] = None
    if command.retry_delays_s is not None:
        changes["retry_delays_s"] = check_retry_delays(command.retry_delays_s)
    if command.limits is not None:
        changes["limits"] = check_limits(command.limits)
    if command.enabled is not None:
        changes["disabled_reason"] = None if command.enabled else command.disabled_reason or "asked"
    return _with_endpoint(tenant, command.endpoint_id, lambda found: replace(found, **changes))


def _remove_endpoint(tenant: Tenant, command: RemoveEndpoint) -> Tenant:
    return _with_endpoint(tenant, command.endpoint_id, lambda _: None)


def _rotate_secret(tenant: Tenant, command: RotateSecret) -> Tenant:
    return _with_endpoint(
        tenant,
        command.endpoint_id,
        lambda found: replace(
            found,
            secret_version=found.secret_version + 1,
            previous_secret_until=command.at + command.overlap_s,
        ),
    )


def _suspend(tenant: Tenant, command: SuspendEndpoint) -> Tenant:
    def suspended(found: Endpoint) -> Endpoint:
        if found.suspension is not None:
            raise conflict("endpoint_suspended_already")
        return replace(
            found,
            suspension=Suspension(command.at, command.why, command.owner, command.letters_from),
        )

    return _with_endpoint(tenant, command.endpoint_id, suspended)


def _resume(tenant: Tenant, command: ResumeEndpoint) -> Tenant:
    return _with_suspension(
        tenant, command.endpoint_id, lambda found: replace(found, resume_asked_at=command.at)
    )


def _end_suspension(tenant: Tenant, command: EndSuspension) -> Tenant:
    def ended(found: Suspension) -> None:
        _check_owner(found, command.owner)

    return _with_suspension(tenant, command.endpoint_id, ended)


def _claim_suspension(tenant: Tenant, command: ClaimSuspension) -> Tenant:
    return _with_suspension(
        tenant, command.endpoint_id, lambda found: replace(found, owner=command.owner)
    )


def _note_drained(tenant: Tenant, command: NoteDrained) -> Tenant:
    def noted(found: Suspension) -> Suspension:
        _check_owner(found, command.owner)
        return replace(found, letters_from=max(found.letters_from, command.letters_from))

    return _with_suspension(tenant, command.endpoint_id, noted)


def _check_owner(suspension: Suspension, owner: str) -> None:
    if suspension.owner != owner:
        raise conflict("suspension_taken_over")


def _with_suspension(
    tenant: Tenant, endpoint_id: str, change: Callable[[Suspension], Suspension | None]
) -> Tenant:
    def changed(found: Endpoint) -> Endpoint:
        if found.suspension is None:
            raise conflict("endpoint_not_suspended")
        return replace(found, suspension=change(found.suspension))

    return _with_endpoint(tenant, endpoint_id, changed)


def _with_endpoint(
    tenant: Tenant, endpoint_id: str, change: Callable[[Endpoint], Endpoint | None]
) -> Tenant:
    if tenant.endpoint(endpoint_id) is None:
        raise conflict("unknown_endpoint")
    changed = (change(item) if item.id == endpoint_id else item for item in tenant.endpoints)
    return replace(tenant, endpoints=tuple(item for item in changed if item is not None))


def check_retry_delays(delays_s: tuple[float, ...]) -> tuple[float, ...]:
    """Return an endpoint's own waits between attempts, in seconds, if they may be used.

    Raises:
        InvalidCommandError: `retry_delays_invalid`.
    """
    if len(delays_s) > RETRY_DELAYS_MAX or not all(
        0 <= delay <= RETRY_DELAY_MAX_S for delay in delays_s
    ):
        raise InvalidCommandError(
            "retry_delays_invalid",
            f"Give at most {RETRY_DELAYS_MAX} waits from 0 to {RETRY_DELAY_MAX_S:.0f} seconds.",
            field="retry_delays_s",
        )
    return delays_s


_TEXTS = ("url", "event_types", "headers", "description", "retry_delays_s", "limits")

_CHANGES: dict[type, Callable[[Tenant, Any], Tenant | None]] = {
    EnableTenant: _enable,
    DisableTenant: _disable,
    DeleteTenant: _delete,
    AddApiKey: _add_api_key,
    RemoveApiKey: _remove_api_key,
    AddPublicKey: _add_key,
    RemovePublicKey: _remove_key,
    AddEndpoint: _add_endpoint,
    ChangeEndpoint: _change_endpoint,
    RemoveEndpoint: _remove_endpoint,
    RotateSecret: _rotate_secret,
    SuspendEndpoint: _suspend,
    ResumeEndpoint: _resume,
    EndSuspension: _end_suspension,
    ClaimSuspension: _claim_suspension,
    NoteDrained: _note_drained,
    RewriteTenant: _rewrite,
}
