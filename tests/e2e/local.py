"""Real `hookseal local` processes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.builders import MASTER_KEY
from tests.e2e.api import Api

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Local", "local_env"]


def local_env(queue: str) -> dict[str, str]:
    """Return HOOKSEAL_* for the processes of one test; what they keep is their own."""
    return {
        "HOOKSEAL_QUEUE_URL": queue,
        "HOOKSEAL_TOPIC_PREFIX": f"t{uuid4().hex[:12]}.",
        "HOOKSEAL_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "HOOKSEAL_SESSION_TIMEOUT_S": "2",
        "HOOKSEAL_HEARTBEAT_INTERVAL_S": "0.3",
        "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8,::1/128",
        "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
        "HOOKSEAL_EGRESS_ALLOW_PORTS": "1024-65535",
        "HOOKSEAL_RETRY_JITTER": "0",
    }


class Local(Api):
    """One process: API and delivery."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path, *options: str) -> None:
        super().__init__(name, env, folder, "local", "--port", "0", *options)

    @property
    def partitions(self) -> list[int]:
        """The partitions that it delivers."""
        assigned = self.events("worker.partitions_assigned")
        return assigned[-1]["partitions"] if assigned else []
