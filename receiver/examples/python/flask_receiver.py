"""Receive sealed webhooks with Flask.

    pip install flask hookseal-receiver
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python flask_receiver.py

Of both there may be several, with a space between, while they rotate.
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
    """Do your work. What is raised here makes the sender try again."""
    print(event.id, event.type, event.data, flush=True)


app = Flask(__name__)
# A view may return an application, which then answers in its place.
hooks = SealedWebhooks(webhook, handle, store=seen)
app.post("/hooks")(lambda: hooks)

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
