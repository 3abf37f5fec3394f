"""Every error of a receiver.

    ReceiverError
    ├── VerificationError     the request cannot be trusted
    ├── SetupError            for the developer: a key, a secret, a file, a port
    └── StoreError            for the operator: the store of seen deliveries is unavailable

Bytes from outside raise only `VerificationError`: a leaked `ValueError` is a bug.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

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
    """Base of all errors of this package.

    Attributes:
        code: For programs: `lower_snake_case`, stable.
        message: For people: the problem and the next step. Contains no secret, key or payload.
        field: The option or file that is wrong, or None.
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
        # Without it, pickle rebuilds an exception from its args alone.
        return partial(type(self), field=self.field), (self.code, self.message)


class VerificationError(ReceiverError):
    """The sender did not make this request for this endpoint in the last five minutes.

    Code and message are the same for every cause, so that an answer does not reveal which check
    failed.

    Attributes:
        reason: The check that failed, for the receiver's log only; never put it into an answer.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__("not_verified", "The request could not be verified and decrypted.")
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason,)


class SetupError(ReceiverError):
    """A private key, a signing secret or an option cannot be used."""


class StoreError(ReceiverError):
    """The store of seen deliveries is unavailable; the sender retries."""
