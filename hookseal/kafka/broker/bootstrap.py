"""The bootstrap kind: a cluster that runs already."""

from __future__ import annotations

import os

from hookseal.errors import ConfigurationError
from hookseal.kafka.broker.probe import accepts, node_ids, wait_until
from hookseal.kafka.broker.running import Broker
from hookseal.kafka.cluster import Cluster

VARIABLE = "HOOKSEAL_KAFKA_BOOTSTRAP"


def start(*, timeout_s: float = 10.0) -> Broker:
    """Return the cluster that HOOKSEAL_KAFKA_BOOTSTRAP names, once one of its brokers answers.

    By default it waits 10 s, long enough for a cluster that starts in the same compose file.

    Raises:
        ConfigurationError: `bootstrap_missing`.
        BrokerError: `broker_unreachable`.
    """
    bootstrap = os.environ.get(VARIABLE, "")
    if not bootstrap:
        raise ConfigurationError(
            "bootstrap_missing",
            "Name the cluster's brokers, `host:port,host:port`.",
            field=VARIABLE,
        )
    addresses = bootstrap.split(",")
    # A broker with TLS or a login hangs up on a plain request, so it is only dialled.
    plain = os.environ.get("HOOKSEAL_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") == "PLAINTEXT"
    answers = node_ids if plain else accepts
    if not wait_until(lambda: any(answers(address) for address in addresses), timeout_s):
        raise Cluster(bootstrap).unreachable()
    return Broker("bootstrap", bootstrap)
