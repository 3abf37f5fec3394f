"""The signature of a request (Standard Webhooks): its three headers, and whether it is valid."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookseal_receiver.errors import SetupError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

HeaderPairs = Iterable[tuple[str | bytes, str | bytes]]
Headers = Mapping[str, str] | Mapping[bytes, bytes] | HeaderPairs

# The id has no dot, because dots delimit the signed parts. During a rotation there are two
# signatures; the limit allows forty.
_FORMS = {
    "webhook-id": re.compile(r"[\x21-\x2d\x2f-\x7e]{1,128}"),
    "webhook-timestamp": re.compile(r"[0-9]{1,12}"),
    "webhook-signature": re.compile(r"[\x20-\x7e]{1,2048}"),
}
_PREFIX = "whsec_"
# Standard Webhooks, "Signature scheme": between 24 and 64 bytes.
_SECRET_BYTES = range(24, 65)
# The library's own.
_TOLERANCE_S = 300


def signed_headers(headers: Headers) -> dict[str, str]:
    """Return `webhook-id`, `webhook-timestamp` and `webhook-signature`, names in lower case.

    Raises:
        VerificationError: `headers_invalid`: one is missing, duplicated or malformed.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        known = _text(name).lower()
        if known not in _FORMS:
            continue
        # With two ids, we would verify one, and other code might read the other one.
        if known in found or not _FORMS[known].fullmatch(_text(value)):
            raise VerificationError("headers_invalid")
        found[known] = _text(value)
    if len(found) != len(_FORMS):
        raise VerificationError("headers_invalid")
    return found


def _text(octets: str | bytes) -> str:
    # Latin-1 never fails, and non-ASCII characters match none of the forms.
    return octets if isinstance(octets, str) else octets.decode("latin-1")


def verifiers(secrets: Iterable[str]) -> list[Webhook]:
    """Return a verifier for each signing secret.

    Raises:
        SetupError: `secret_missing`, `secret_invalid`; the field tells which secret.
    """
    found = [_verifier(secret, f"secrets[{number}]") for number, secret in enumerate(secrets)]
    if not found:
        raise SetupError("secret_missing", "Set at least one signing secret.", field="secrets")
    return found


def verify(webhooks: Sequence[Webhook], headers: Mapping[str, str], body: bytes) -> None:
    """Return if one of the secrets signed these headers and this body.

    Raises:
        VerificationError: `timestamp_refused`, `signature_invalid`.
    """
    for webhook in webhooks:
        try:
            webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            # ValueError: a signature without a comma, with two, or not in base64; a body that
            # is not UTF-8. The library does not catch these.
            continue
        return
    # Only for the log: the request is refused in any case.
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) <= _TOLERANCE_S
    raise VerificationError("signature_invalid" if is_fresh else "timestamp_refused")


def _verifier(secret: str, field: str) -> Webhook:
    encoded = secret.strip().removeprefix(_PREFIX)
    try:
        # Strict: the library would skip characters that are not base64.
        octets = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        octets = b""
    if len(octets) not in _SECRET_BYTES:
        raise SetupError(
            "secret_invalid",
            f"A signing secret is {_PREFIX} followed by 24 to 64 bytes in base64.",
            field=field,
        )
    return Webhook(octets)
