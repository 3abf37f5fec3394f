"""The settings under which the demo runs, whatever the settings of the shell are."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from hookseal.cli.demo.plan import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hookseal.kafka.broker import Broker

__all__ = ["demo_environment"]

_PREFIX = "HOOKSEAL_"
# What says how to reach a cluster of the operator's own.
_CLUSTER = ("HOOKSEAL_KAFKA_", "HOOKSEAL_REPLICATION")


def demo_environment(
    shell: Mapping[str, str], broker: Broker, ports: Iterable[int]
) -> dict[str, str]:
    """Return the environment of the demo's processes.

    Args:
        shell: The environment that the demo was started with.
        broker: Where the topics go, under a prefix of their own.
        ports: Of the receivers; nothing else may be dialled.
    """
    kept = {
        name: value
        for name, value in shell.items()
        if not name.startswith(_PREFIX)
        or (broker.kind == "bootstrap" and name.startswith(_CLUSTER))
    }
    return {
        **kept,
        **broker.settings,
        "HOOKSEAL_TOPIC_PREFIX": f"demo-{secrets.token_hex(4)}.",
        "HOOKSEAL_PARTITIONS": str(PARTITIONS),
        "HOOKSEAL_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8,::1/128",
        "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
        "HOOKSEAL_EGRESS_ALLOW_PORTS": ",".join(map(str, ports)),
        # Short, so that a receiver that is down is given up while one looks on.
        "HOOKSEAL_RETRY_BASE_S": "0.2",
        "HOOKSEAL_RETRY_FACTOR": "2",
        "HOOKSEAL_RETRY_MAX_ATTEMPTS": "3",
        "HOOKSEAL_SHUTDOWN_GRACE_S": "3",
        "HOOKSEAL_LOG_FORMAT": "json",
    }
