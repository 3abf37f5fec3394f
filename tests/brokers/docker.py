"""The docker kind: Kafka in a container, by testcontainers."""

from __future__ import annotations

import importlib
from contextlib import ExitStack

from hookseal.errors import BrokerError
from hookseal.kafka.broker import Broker
from hookseal.kafka.broker.ports import node_ids, wait_until

__all__ = ["start"]

# testcontainers' KafkaContainer works by the scripts of Confluent's images and by no others,
# Apache's included. This is the one that testcontainers tests KRaft with.
_IMAGE = "confluentinc/cp-kafka:7.6.0"
# Pulling the image is not in it.
_START_TIMEOUT_S = 60

_BROKER_SETTINGS = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
}


def start() -> Broker:
    """Start the container, pulling its image if need be.

    Raises:
        BrokerError: `broker_missing`, `docker_missing`, `broker_not_started`.
    """
    try:
        # An extra, which may not be installed; it brings `docker`.
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

        docker = importlib.import_module("docker.errors")
    except ImportError:
        raise BrokerError(
            "broker_missing",
            "Containers are started by testcontainers; install it with "
            "`pip install testcontainers`.",
        ) from None
    with ExitStack() as stack:
        try:
            container = KafkaContainer(_IMAGE).with_kraft()
        except docker.DockerException as error:
            raise BrokerError(
                "docker_missing",
                "No Docker engine answers; start one, check DOCKER_HOST, or choose another "
                "broker with HOOKSEAL_TEST_BROKER.",
            ) from error
        for name, value in _BROKER_SETTINGS.items():
            container.with_env(name, value)
        # Before the start: one that fails half-way leaves a container too.
        stack.callback(container.stop)
        try:
            container.start(timeout=_START_TIMEOUT_S)
        except (docker.DockerException, OSError, RuntimeError) as error:
            raise _not_started(str(error)) from error
        bootstrap: str = container.get_bootstrap_server()
        if not wait_until(lambda: bool(node_ids(bootstrap)), _START_TIMEOUT_S):
            raise _not_started(f"nothing answers at {bootstrap}")
        return Broker("docker", bootstrap, resources=stack.pop_all())


def _not_started(reason: str) -> BrokerError:
    return BrokerError(
        "broker_not_started",
        f"The container {_IMAGE} did not start ({reason}); look at `docker logs`, and whether "
        "the image can be pulled.",
    )
