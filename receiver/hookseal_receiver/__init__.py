"""Receive sealed webhooks: verify, decrypt, drop repeats.

    webhook = Webhook(secrets=["whsec_…"], keys=[Path("private.pem").read_bytes()])
    event = webhook.open(request_headers, request_body)

`hookseal_receiver.aiohttp`, `hookseal_receiver.asgi` and `hookseal_receiver.wsgi` serve it at a
URL, with a store of seen deliveries. The cryptography is that of `standardwebhooks` and `joserfc`,
with everything pinned that a sender could choose.
"""

from hookseal_receiver.errors import ReceiverError, SetupError, StoreError, VerificationError
from hookseal_receiver.event import Event
from hookseal_receiver.repeats import Bounds, Claim, MemoryStore, SQLiteStore, Standing, Store
from hookseal_receiver.webhook import MAX_BODY_BYTES, Webhook

__all__ = [
    "MAX_BODY_BYTES",
    "Bounds",
    "Claim",
    "Event",
    "MemoryStore",
    "ReceiverError",
    "SQLiteStore",
    "SetupError",
    "Standing",
    "Store",
    "StoreError",
    "VerificationError",
    "Webhook",
]
