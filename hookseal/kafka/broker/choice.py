"""Chooses the broker of a demo."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hookseal.kafka.broker import bootstrap, embedded

if TYPE_CHECKING:
    from hookseal.kafka.broker.running import Broker


def start_broker() -> Broker:
    """Return the cluster that HOOKSEAL_KAFKA_BOOTSTRAP names, or else start the embedded broker.

    Returns once the broker answers. The caller stops it.

    Raises:
        BrokerError: `broker_missing`, `broker_not_started`, `broker_unreachable`.
    """
    return bootstrap.start() if os.environ.get(bootstrap.VARIABLE) else embedded.start()
