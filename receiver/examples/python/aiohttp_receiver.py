"""Receive sealed webhooks with aiohttp.

    pip install aiohttp hookseal-receiver
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python aiohttp_receiver.py

During a rotation, separate several values with a space.
"""

import os
from pathlib import Path

from aiohttp import web

from hookseal_receiver import Event, SQLiteStore, Webhook
from hookseal_receiver.aiohttp import sealed_webhooks

webhook = Webhook(
    secrets=os.environ["SIGNING_SECRETS"].split(),
    keys=[Path(name).read_bytes() for name in os.environ["PRIVATE_KEYS"].split()],
    endpoint_id=os.environ.get("ENDPOINT_ID"),
)
seen = SQLiteStore(os.environ.get("SEEN", "seen.db"))


async def handle(event: Event) -> None:
    """Do your work. If this raises, the sender retries."""
    print(event.id, event.type, event.data, flush=True)


app = web.Application()
app.router.add_post("/hooks", sealed_webhooks(webhook, handle, store=seen))

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
