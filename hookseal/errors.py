"""Every error hookseal raises on purpose.

The class says who must act, the code says what went wrong, the field says where::

    HooksealError
    ├── ConfigurationError        the operator: a setting, a topic, a missing program
    ├── BrokerError               the operator: no broker answers, or none could be started
    │   └── RecordRefusedError        a write fails again, however often it is retried
    ├── InvalidInputError         the sender: the input is invalid; never retried
    │   ├── InvalidEventError         a record on `events`
    │   ├── InvalidCommandError       a record on `tenant-commands`
    │   ├── InvalidKeyError           a public key
    │   ├── InvalidUrlError           an endpoint's URL
    │   └── InvalidHeaderError        an endpoint's custom header
    ├── ConflictError             the sender: the tenant's state does not allow the change
    │   └── EventIdReusedError        the event id belongs to another event
    ├── SealError                 no request can be built for the endpoint; never retried
    ├── LocalResourceError        the operator: this process has no free descriptor, port or memory
    └── AttemptError              the endpoint: an attempt got no usable response
        └── BlockedAddressError       the endpoint's host resolves to a blocked address

Untrusted bytes raise only these: a leaked `ValueError` is a bug. A failed delivery is an `Outcome`
(`hookseal.domain.attempt`), not an exception.
"""

from __future__ import annotations

from functools import partial


class HooksealError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        code: Stable, for programs: `lower_snake_case`.
        message: For a person: what is wrong and what to do. Never holds a secret, a payload or an
            internal address.
        field: The part of the input that is invalid, or None.
    """

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field

    def __str__(self) -> str:
        where = f" ({self.field})" if self.field else ""
        return f"{self.code}{where}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # pickle rebuilds exceptions from their args alone.
        return partial(type(self), field=self.field), (self.code, self.message)


class ConfigurationError(HooksealError):
    """A setting, a topic or the environment is wrong."""


class BrokerError(HooksealError):
    """No Kafka broker answers, or none could be started."""


class RecordRefusedError(BrokerError):
    """A record cannot be written, however often it is retried; `__cause__` is Kafka's error."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__("record_refused", message, field=field)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), field=self.field), (self.message,)


class InvalidInputError(HooksealError):
    """An input is invalid; a retry fails again."""


class InvalidEventError(InvalidInputError):
    """A record on `events` is not a valid event."""


class InvalidCommandError(InvalidInputError):
    """A record on `tenant-commands` is not a valid command."""


class InvalidKeyError(InvalidInputError):
    """A public key cannot be used to encrypt."""


class InvalidUrlError(InvalidInputError):
    """An endpoint's URL is refused."""


class InvalidHeaderError(InvalidInputError):
    """An endpoint's custom header is refused."""


class ConflictError(HooksealError):
    """The tenant's state does not allow the change."""


class EventIdReusedError(ConflictError):
    """An event id belongs to another recent event; `index` counts from 0 within the batch."""

    def __init__(self, index: int) -> None:
        super().__init__(
            "event_id_reused",
            "This id was used for another recent event. Give each event an id of its own.",
            field="id",
        )
        self.index = index

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.index,)


class SealError(HooksealError):
    """A request cannot be built for this endpoint; a retry fails again."""


class LocalResourceError(HooksealError):
    """This process lacks a resource, so a request could not be sent or finished.

    It does not count as an attempt. `resource` is `descriptors`, `memory`, `ports`, `threads`,
    `resolver`, `connections`, or `connections_per_host`.
    """

    def __init__(self, resource: str) -> None:
        super().__init__(
            "resource_exhausted",
            f"This process has no `{resource}` left. Raise the limit.",
        )
        self.resource = resource

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.resource,)


class AttemptError(HooksealError):
    """An attempt got no usable response: timeout, refusal, reset, endless body."""


class BlockedAddressError(AttemptError):
    """The endpoint's host resolves to a blocked address.

    Never retried: a name that points into our network is an attack or a mistake.
    """

    def __init__(self) -> None:
        # A constant text without an address: the tenant reads it.
        super().__init__(
            "blocked_address",
            "The endpoint's host resolves to an address that deliveries may not reach.",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()
