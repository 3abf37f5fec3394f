"""Getting a Kafka broker, for demos, tests and benchmarks: one interface, four kinds.

`bootstrap` is somebody's running cluster, `embedded` one binary in memory, `apache` real
Apache Kafka on the local Java, `docker` a container. The embedded one keeps fewer promises
than Kafka: it does not compact, has no idempotent producers, and can be late in telling a
topic's end. Demos and quick tests run on it; what hookseal guarantees is proved on `apache`.
"""

from hookseal.kafka.broker.choice import choose_kind, running_broker, start_broker
from hookseal.kafka.broker.contract import Broker, Node

__all__ = ["Broker", "Node", "choose_kind", "running_broker", "start_broker"]
