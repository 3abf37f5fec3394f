"""Kafka brokers for tests and benchmarks: one function, four kinds.

`bootstrap` is a running cluster, `embedded` the broker of `hookseal demo`, `apache` real Apache
Kafka on the local Java, `docker` a container. Guarantees are proved on `apache`; `embedded` is
there for quick runs, because it keeps fewer promises than Kafka.
"""

from hookseal.kafka.broker import Broker
from tests.brokers.apache import ApacheBroker
from tests.brokers.choice import choose_kind, start_broker

__all__ = ["ApacheBroker", "Broker", "choose_kind", "start_broker"]
