"""A Kafka broker for `hookseal demo`: a running cluster, or the embedded broker.

The embedded broker is one binary that keeps everything in memory. It promises less than Kafka: it
does not compact, has no idempotent producers, and can report the end of a topic late. Tests and
benchmarks start Apache Kafka with `tests.brokers`.
"""

from __future__ import annotations

import os

from hookseal.kafka.broker import bootstrap, embedded
from hookseal.kafka.broker.bootstrap import Broker

__all__ = ["Broker", "start_broker"]


def start_broker() -> Broker:
    """Return the cluster that HOOKSEAL_KAFKA_BOOTSTRAP names, or else start the embedded broker.

    Returns once the broker answers. Raises as both do. The caller stops the broker.
    """
    return bootstrap.start() if os.environ.get(bootstrap.VARIABLE) else embedded.start()
