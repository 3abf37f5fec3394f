"""Every error hookseal raises on purpose.

The class says who must act, the code says what went wrong, the field says where::

    HooksealError
    ├── ConfigurationError        the operator: a setting, a topic, a missing program
    ├── BrokerError               the operator: no broker answers, or none could be started
    │   └── RecordRefusedError        a write fails again, however often it is retried
    ├── InvalidInputError         whoever sent it: an input is refused as it stands
    │   ├── InvalidEventError         a record on `events`
    │   ├── InvalidCommandError       a record on `tenant-commands`
    │   ├── InvalidKeyError           a public key
    │   ├── InvalidUrlError           an endpoint's URL
    │   └── InvalidHeaderError        an endpoint's custom header
    ├── ConflictError             whoever sent it: the tenant's state does not allow it
    │   └── EventIdReusedError        an event id stands for another event already
    ├── SealError                 nobody can open a request built so; never retried
    ├── LocalResourceError        the operator: this process has no free descriptor, port or memory
    └── AttemptError              the endpoint: an attempt brought no usable answer
        └── BlockedAddressError       the endpoint's name leads to an address we refuse

Bytes from outside raise nothing but these: a leaked `ValueError` is a bug. A delivery
that fails is an `Outcome` (`hookseal.domain.attempt`), not an exception.
"""

from __future__ import annotations

__all__ = [
    "AttemptError",
    "BlockedAddressError",
    "BrokerError",
    "ConfigurationError",
    "ConflictError",
    "EventIdReusedError",
    "HooksealError",
    "InvalidCommandError",
    "InvalidEventError",
    "InvalidHeaderError",
    "InvalidInputError",
    "InvalidKeyError",
    "InvalidUrlError",
    "LocalResourceError",
    "RecordRefusedError",
    "SealError",
]


class HooksealError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        code: Stable, for programs: `lower_snake_case`.
        message: One sentence for a person: what is wrong and what to do. Never
            holds a secret, a payload or an internal address.
        field: The part of the input it is about, or None.
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
        # Exceptions are rebuilt from their args alone when they cross a process.
        return _rebuild, (type(self), self.code, self.message, self.field)


def _rebuild(
    kind: type[HooksealError], code: str, message: str, field: str | None
) -> HooksealError:
    return kind(code, message, field=field)


class ConfigurationError(HooksealError):
    """A setting, a topic or the environment is not as it must be."""


class BrokerError(HooksealError):
    """No Kafka broker answers, or none could be started."""


class RecordRefusedError(BrokerError):
    """A record cannot be written: a retry of the same record fails again.

    The cause (`__cause__`) is the error of the Kafka client.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__("record_refused", message, field=field)

    def __reduce__(self) -> tuple[object, ...]:
        return _refused_again, (self.message, self.field)


def _refused_again(message: str, field: str | None) -> RecordRefusedError:
    return RecordRefusedError(message, field=field)


class InvalidInputError(HooksealError):
    """An input is refused as it stands; sending it again changes nothing."""


class InvalidEventError(InvalidInputError):
    """A record on `events` is no event."""


class InvalidCommandError(InvalidInputError):
    """A record on `tenant-commands` is no command."""


class InvalidKeyError(InvalidInputError):
    """A public key cannot be used to seal."""


class InvalidUrlError(InvalidInputError):
    """An endpoint's URL is refused."""


class InvalidHeaderError(InvalidInputError):
    """An endpoint's custom header is refused."""


class ConflictError(HooksealError):
    """The tenant's present state does not allow the change."""


class EventIdReusedError(ConflictError):
    """An event id was used for another event a moment ago.

    Attributes:
        index: Which of the events that were published together, counted from 0.
    """

    def __init__(self, index: int) -> None:
        super().__init__(
            "event_id_reused",
            "This id was used for another event a moment ago; give each event its own.",
            field="id",
        )
        self.index = index

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.index,)


class SealError(HooksealError):
    """A request cannot be built for this endpoint; trying again changes nothing."""


class LocalResourceError(HooksealError):
    """This process lacks a resource of its own, so a request could not be sent or finished.

    Says nothing about the receiver: it is not an attempt, and the same attempt number is used
    again.

    Attributes:
        resource: `descriptors`, `memory`, `ports`, `threads`, `resolver`, `connections`, or
            `connections_per_host`.
    """

    def __init__(self, resource: str) -> None:
        super().__init__(
            "resource_exhausted",
            f"This process has none left of the resource `{resource}`; raise its limit.",
        )
        self.resource = resource

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.resource,)


class AttemptError(HooksealError):
    """An attempt brought no usable answer: timeout, refusal, reset, endless body."""


class BlockedAddressError(AttemptError):
    """The endpoint's name leads to an address we refuse to dial.

    Never retried: a name that points inside our network is an attack or a mistake,
    and neither heals with time.
    """

    def __init__(self) -> None:
        # One constant text, with no address in it: the tenant reads it.
        super().__init__(
            "blocked_address",
            "The endpoint's host resolves to an address that deliveries may not reach.",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), ()
