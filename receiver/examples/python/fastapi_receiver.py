"""Receive sealed webhooks with FastAPI; with Starlette it is the same.

    pip install fastapi uvicorn hookseal-receiver
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python fastapi_receiver.py

During a rotation, separate several values with a space.
"""

import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from hookseal_receiver import Event, SQLiteStore, Webhook
from hookseal_receiver.asgi import SealedWebhooks

webhook = Webhook(
    secrets=os.environ["SIGNING_SECRETS"].split(),
    keys=[Path(name).read_bytes() for name in os.environ["PRIVATE_KEYS"].split()],
    endpoint_id=os.environ.get("ENDPOINT_ID"),
)
seen = SQLiteStore(os.environ.get("SEEN", "seen.db"))


async def handle(event: Event) -> None:
    """Do your work. If this raises, the sender retries."""
    print(event.id, event.type, event.data, flush=True)


app = FastAPI()
# Not `mount`: it redirects /hooks to /hooks/, and the sender follows no redirects.
hooks = SealedWebhooks(webhook, handle, store=seen)
app.router.routes.append(Route("/hooks", hooks, methods=["POST"]))

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
