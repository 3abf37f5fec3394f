"""Receive sealed webhooks with Flask.

    pip install flask hookseal-receiver
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python flask_receiver.py

During a rotation, separate several values with a space.
"""

import os
from pathlib import Path

from flask import Flask

from hookseal_receiver import Event, SQLiteStore, Webhook
from hookseal_receiver.wsgi import SealedWebhooks

webhook = Webhook(
    secrets=os.environ["SIGNING_SECRETS"].split(),
    keys=[Path(name).read_bytes() for name in os.environ["PRIVATE_KEYS"].split()],
    endpoint_id=os.environ.get("ENDPOINT_ID"),
)
seen = SQLiteStore(os.environ.get("SEEN", "seen.db"))


def handle(event: Event) -> None:
    """Do your work. If this raises, the sender retries."""
    print(event.id, event.type, event.data, flush=True)


app = Flask(__name__)
# A view can return a WSGI application.
hooks = SealedWebhooks(webhook, handle, store=seen)
app.post("/hooks")(lambda: hooks)

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
