"""The plan of a demo: its tenants, its events and the settings of its processes."""

from __future__ import annotations

import base64
import random
import secrets
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hookseal.kafka.broker import Broker
    from hookseal.seal.keys import KeyKind

PARTITIONS = 6
_TYPES = ("order.created", "order.paid", "order.shipped")
_FAILS_EVERY = 6
_DOWN_SHARE = 40
_DOWN_MIN, _DOWN_MAX = 2, 8
# Settings that say how to reach the operator's own cluster.
_CLUSTER = ("HOOKSEAL_KAFKA_", "HOOKSEAL_REPLICATION")


class ReceiverBehaviour(Enum):
    """How a tenant's receiver answers."""

    UP = "up"
    FLAKY = "some 503s"
    DOWN = "down"


class Behaviour(NamedTuple):
    """One tenant of the demo; `alg` is the kind of its key, as in `hookseal keys generate`."""

    customer_id: str
    alg: KeyKind
    receiver: ReceiverBehaviour = ReceiverBehaviour.UP


# The customer ids hash to six different partitions. So the tenant that is down blocks its own
# partition only, and everybody can see it.
SCENARIO = (
    Behaviour("acme", "rsa-4096"),
    Behaviour("northwind", "rsa-3072", ReceiverBehaviour.DOWN),
    Behaviour("monarch", "rsa-2048"),
    Behaviour("bluth", "p256"),
    Behaviour("wingtip", "x25519"),
    Behaviour("tailspin", "p256", ReceiverBehaviour.FLAKY),
)


class PlannedEvent(NamedTuple):
    """The arguments of `NewEventReader.draft`."""

    customer_id: str
    event_id: str
    event_type: str
    data: bytes


def planned_events(count: int, seed: int) -> list[PlannedEvent]:
    """Return `count` events in the order of publication; the same seed gives the same events.

    The tenant that is down gets 2 to 8 of them: each blocks its partition for a whole retry
    schedule.
    """
    chance = random.Random(seed)  # noqa: S311 - a plan, not a secret
    down = [one.customer_id for one in SCENARIO if one.receiver is ReceiverBehaviour.DOWN]
    others = [one.customer_id for one in SCENARIO if one.receiver is not ReceiverBehaviour.DOWN]
    down *= max(_DOWN_MIN, min(_DOWN_MAX, count // _DOWN_SHARE))
    customers = down + [others[number % len(others)] for number in range(count - len(down))]
    chance.shuffle(customers)
    return [
        PlannedEvent(
            customer_id,
            f"evt_{seed}_{number}",
            chance.choice(_TYPES),
            b'{"order": "A-%06d", "total": %d}'
            % (chance.randrange(10**6), chance.randrange(10**5)),
        )
        for number, customer_id in enumerate(customers, 1)
    ]


def is_failing(request: int, seed: int) -> bool:
    """Return whether the flaky receiver fails this request, counted from 1.

    It fails one request in six and never two in a row. The seed decides which one.
    """
    return request % _FAILS_EVERY == seed % _FAILS_EVERY


def demo_environment(
    shell: Mapping[str, str], broker: Broker, ports: Iterable[int]
) -> dict[str, str]:
    """Return the environment of the demo's processes.

    Of the HOOKSEAL_* settings of the shell only those that reach the operator's own cluster are
    kept. Topics get a random prefix. Workers may connect to these ports of the receivers only.
    """
    kept = {
        name: value
        for name, value in shell.items()
        if not name.startswith("HOOKSEAL_")
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
        # A short retry schedule: dead letters appear while the demo runs.
        "HOOKSEAL_RETRY_BASE_S": "0.2",
        "HOOKSEAL_RETRY_FACTOR": "2",
        "HOOKSEAL_RETRY_MAX_ATTEMPTS": "3",
        # The receiver that is down never returns, so its events are not deferred for it.
        "HOOKSEAL_SUSPEND_AFTER": "0",
        "HOOKSEAL_SHUTDOWN_GRACE_S": "3",
        "HOOKSEAL_LOG_FORMAT": "json",
    }
