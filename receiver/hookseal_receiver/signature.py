"""Standard Webhooks: was it signed by the sender, just now?"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookseal_receiver.errors import SetupError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PREFIX = "whsec_"
# Standard Webhooks, "Signature scheme": between 24 and 64 bytes.
_SECRET_BYTES = range(24, 65)
# As the library has it.
_TOLERANCE_S = 300


def verifiers(secrets: Iterable[str]) -> list[Webhook]:
    """Return a verifier for each signing secret; one of them must fit.

    Raises:
        SetupError: `secret_missing`, `secret_invalid`; the field says which it is.
    """
    found = [_verifier(secret, f"secrets[{number}]") for number, secret in enumerate(secrets)]
    if not found:
        raise SetupError("secret_missing", "Give at least one signing secret.", field="secrets")
    return found


def verify(webhooks: Sequence[Webhook], headers: Mapping[str, str], body: bytes) -> None:
    """Return if one of the secrets signed these headers and this body.

    Raises:
        VerificationError: `timestamp_refused`, `signature_invalid`.
    """
    for webhook in webhooks:
        try:
            # The body is parsed only by what opens it.
            webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            # ValueError: a signature without a comma, with two, or that is no base64; a
            # body that is no UTF-8. The library lets them through.
            continue
        return
    # Only to tell the log more: it was refused in any case.
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) <= _TOLERANCE_S
    raise VerificationError("signature_invalid" if is_fresh else "timestamp_refused")


def _verifier(secret: str, field: str) -> Webhook:
    encoded = secret.strip().removeprefix(_PREFIX)
    try:
        # Strictly: the library would skip what is no base64, and sign with the rest.
        octets = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        octets = b""
    if len(octets) not in _SECRET_BYTES:
        raise SetupError(
            "secret_invalid",
            f"A signing secret is {_PREFIX} and base64 of 24 to 64 bytes behind it.",
            field=field,
        )
    return Webhook(octets)
