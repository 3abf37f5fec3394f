"""A Kafka broker for `hookseal demo`: a running cluster, or the embedded one.

The embedded broker is one binary that keeps everything in memory. It keeps fewer promises than
Kafka: it does not compact, has no idempotent producers, and can report the end of a topic late.
Tests and benchmarks start Apache Kafka with `tests.brokers`.
"""

from hookseal.kafka.broker.choice import start_broker
from hookseal.kafka.broker.running import Broker

__all__ = ["Broker", "start_broker"]
