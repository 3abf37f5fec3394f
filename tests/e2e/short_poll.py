"""The application of the workers, but a consumer that does not poll is soon taken for dead."""

from __future__ import annotations

import os

from streams.app import app

__all__ = ["app"]

app.conf.broker_max_poll_interval = float(os.environ["MAX_POLL_INTERVAL_S"])
