"""Every error of a receiver.

The class says who must act, the code what went wrong, the field where::

    ReceiverError
    ├── VerificationError     the sender: this request is not to be trusted
    ├── SetupError            the developer: a key, a secret, a file, a port
    └── StoreError            the operator: the store of seen deliveries is unavailable

Bytes from outside raise nothing but `VerificationError`: a leaked `ValueError` is a bug.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["Reason", "ReceiverError", "SetupError", "StoreError", "VerificationError"]

Reason = Literal[
    "headers_invalid",
    "body_too_large",
    "timestamp_refused",
    "signature_invalid",
    "body_invalid",
    "algorithm_refused",
    "key_unknown",
    "not_opened",
    "event_invalid",
    "id_differs",
    "endpoint_differs",
]


class ReceiverError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        code: Stable, for programs: `lower_snake_case`.
        message: One sentence for a person: what is wrong and what to do. Never holds a
            secret, a key or a payload.
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


def _rebuild(kind: type[ReceiverError], code: str, message: str, field: str | None) -> object:
    return kind(code, message, field=field)


class VerificationError(ReceiverError):
    """The request was not sealed for this endpoint by the sender, or not just now.

    Code, message and text are the same for every cause: what a sender may read does not
    tell which check it failed.

    Attributes:
        reason: Which check failed, in the order in which they are made. For the log of
            the receiver, and never for an answer.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__("not_verified", "The request could not be verified and opened.")
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason,)


class SetupError(ReceiverError):
    """A private key, a signing secret or an option of the receiver cannot be used."""


class StoreError(ReceiverError):
    """The store of seen deliveries does not respond; the sender will retry."""
