"""The apache kind: Apache Kafka in KRaft mode on the local Java, one node or several."""

from __future__ import annotations

import base64
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from hookseal.kafka.broker import Broker
from hookseal.kafka.broker.ports import wait_until, with_free_ports
from hookseal.kafka.broker.process import Child, last_lines
from tests.brokers import jars, java
from tests.brokers.apache_node import ApacheNode
from tests.brokers.apache_settings import Place, copies, server_properties
from tests.brokers.java import ClassArchive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.brokers.apache_settings import Listener
    from tests.brokers.jars import Jars
    from tests.brokers.java import Java

__all__ = ["ApacheBroker", "start"]

_FORMAT_TIMEOUT_S = 60
_CLUSTER_ID_BYTES = 16
# A node alone ends within a second. Of several that are asked at once, the last ones wait
# 5 s for a quorum that is gone; their data is about to be deleted anyway.
_STOP_GRACE_ALONE_S = 30.0
_STOP_GRACE_CLUSTER_S = 1.0


class ApacheBroker(Broker):
    """A cluster whose nodes can be killed and started again.

    Attributes:
        nodes: In the order of their ids.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        settings: Mapping[str, str],
        nodes: Sequence[ApacheNode],
        resources: ExitStack,
    ) -> None:
        super().__init__("apache", bootstrap, settings=settings, resources=resources)
        self.nodes = nodes


def start(
    nodes: int = 1, *, listeners: Sequence[Listener] = (), format_with: Sequence[str] = ()
) -> ApacheBroker:
    """Start a cluster on free ports and wait until all its nodes know each other.

    Args:
        nodes: How many, each both broker and controller. With three, one may be lost.
        listeners: More doors, of a node alone.
        format_with: More arguments for the tool that prepares the data folder.

    Raises:
        BrokerError: `java_missing`, `java_too_old`, `maven_missing`, `kafka_not_resolved`,
            `broker_missing`, `broker_not_started`.
    """
    found = java.find()
    kafka = jars.resolve()
    starting = partial(_start, found, kafka, listeners, format_with)
    return with_free_ports(2 * nodes, starting)


def _start(
    found: Java,
    kafka: Jars,
    listeners: Sequence[Listener],
    format_with: Sequence[str],
    ports: Sequence[int],
) -> ApacheBroker:
    places = [
        Place(node_id, client, controller)
        for node_id, (client, controller) in enumerate(zip(ports[::2], ports[1::2], strict=True), 1)
    ]
    archive = ClassArchive(kafka.folder, found)
    # Only a node alone ends in peace, which recording takes.
    command = partial(found.command, kafka.classpath, kafka.log_config)
    run = command(*archive.flags(record=len(places) == 1))
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hookseal-kafka-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = [_settings_file(place, places, folder, listeners) for place in places]
        _format(command(*archive.flags(record=False)), settings, format_with)
        nodes = [
            ApacheNode(place, [*run, "kafka.Kafka", str(file)], file.parent)
            for place, file in zip(places, settings, strict=True)
        ]
        stack.callback(_stop, nodes, archive)
        for node in nodes:
            node.meet(nodes)
            node.start(wait=False)
        for node in nodes:
            node.wait_registered()
        return ApacheBroker(
            ",".join(place.bootstrap for place in places),
            settings={"HOOKSEAL_REPLICATION": str(copies(len(places)))} if len(places) > 1 else {},
            nodes=nodes,
            resources=stack.pop_all(),
        )


def _settings_file(
    place: Place, places: Sequence[Place], folder: Path, listeners: Sequence[Listener]
) -> Path:
    home = folder / f"node-{place.node_id}"
    home.mkdir()
    file = home / "server.properties"
    file.write_text(server_properties(place, places, home / "data", listeners))
    return file


def _format(command: Sequence[str], settings: Sequence[Path], more: Sequence[str]) -> None:
    """Prepare the nodes' data folders, all at once: most of it is the JVM's start.

    Raises:
        BrokerError: `broker_not_started`.
    """
    # A Kafka Uuid: 16 bytes, base64url without padding.
    cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(_CLUSTER_ID_BYTES)).decode()
    arguments = [
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id.rstrip('=')}",
        *more,
    ]
    with ExitStack() as stack:
        tools = []
        for file in settings:
            tool = Child(
                [*command, *arguments, f"--config={file}"], log=file.with_name("format.log")
            )
            stack.callback(tool.kill)
            tool.start()
            tools.append(tool)
        for tool in tools:
            if not wait_until(partial(_ended, tool), _FORMAT_TIMEOUT_S) or tool.status != 0:
                raise BrokerError(
                    "broker_not_started",
                    "Apache Kafka could not prepare its data folder. The last lines of its "
                    f"log:\n{last_lines(tool.log)}",
                )


def _ended(child: Child) -> bool:
    return not child.alive


def _stop(nodes: Sequence[ApacheNode], archive: ClassArchive) -> None:
    grace_s = _STOP_GRACE_ALONE_S if len(nodes) == 1 else _STOP_GRACE_CLUSTER_S
    for node in nodes:
        node.ask_to_stop()
    for node in nodes:
        node.terminate(grace_s=grace_s)
    archive.keep(complete=all(node.stopped_in_peace for node in nodes))
