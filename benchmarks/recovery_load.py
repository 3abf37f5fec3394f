"""Small tenants by the million, straight into the changelog; a program of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from itertools import count
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from benchmarks.scenario import PARTITIONS
from hookseal.config import load
from hookseal.domain.command import CreateTenant
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import CommandResult, PublicKey, Tenant
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.ports import KafkaCommands
from hookseal.kafka.producer import Producer
from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.deployment import Deployment
    from hookseal.config import Settings


_MODULE = "benchmarks.recovery_load"
_BATCH_BYTES = 512 * 1024
_REQUEST_BYTES = 2 * _BATCH_BYTES
# Written one by one at the end. The embedded broker tells the start of the last batch where
# it should tell the end of the log.
_LAST = 60
_COMMANDS = 3
_KEY = PublicKey(
    base64url.encode(secrets.token_bytes(32)).decode(),
    "RSA-OAEP-256",
    {"kty": "RSA", "n": base64url.encode(secrets.token_bytes(256)).decode(), "e": "AQAB"},
)


def small_tenant(number: int) -> Tenant:
    """Return a tenant with one public key, which all share, and one endpoint."""
    customer_id = f"customer-{number:07d}"
    return Tenant(
        customer_id,
        revision=_COMMANDS,
        public_keys=(_KEY,),
        endpoints=(Endpoint("ep_1", f"https://{customer_id}.example.com/webhooks", ("order.*",)),),
        recent=tuple(
            CommandResult(f"cmd_{number:029d}{one:03d}", "ok", f"{number:029x}{one:03x}")
            for one in range(_COMMANDS)
        ),
    )


async def write_small_tenants(
    deployment: Deployment, tenants: int, on_progress: Callable[[int], None]
) -> int:
    """Write so many tenants; return the bytes of their documents.

    Args:
        deployment: Where; with the broker's address in its environment.
        tenants: How many, at least 60.
        on_progress: Told how many are written.

    Raises:
        RuntimeError: A process that writes failed.
    """
    bulk = tenants - _LAST
    share = -(-bulk // (os.cpu_count() or 1))
    spans = [(first, min(bulk, first + share)) for first in range(0, bulk, share)]
    written = sum(await asyncio.gather(*(_written_by(deployment.env, *span) for span in spans)))
    on_progress(bulk)
    async with Producer(deployment.cluster) as producer:
        for number in range(bulk, tenants):
            tenant = small_tenant(number)
            document = deployment.registry.document(tenant)
            await producer.publish(
                deployment.names.tenants_changelog,
                key=tenant.customer_id.encode(),
                value=document,
            )
            written += len(document)
        # As in production each partition has commands: the lanes wait for them, and with them
        # for the table.
        commands = KafkaCommands(producer, deployment.names, deployment.registry)
        for customer_id in one_of_each(PARTITIONS):
            await commands.submit(CreateTenant(customer_id=customer_id, id=customer_id, at=0.0))
    on_progress(tenants)
    return written


def one_of_each(partitions: int) -> list[str]:
    """Return a customer id for each partition, in their order."""
    found: dict[int, str] = {}
    for customer_id in map("late-{}".format, count()):
        found.setdefault(partition_of(customer_id, partitions), customer_id)
        if len(found) == partitions:
            break
    return [found[partition] for partition in range(partitions)]


async def _written_by(env: Mapping[str, str], first: int, end: int) -> int:
    command = (sys.executable, "-m", _MODULE, str(first), str(end))
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        message = f"{_MODULE} ended with {process.returncode}"
        raise RuntimeError(message)
    return int(json.loads(out)["bytes"])


async def _write(settings: Settings, first: int, end: int) -> int:
    registry, topic = settings.registry(), settings.names.tenants_changelog
    written = 0
    client = AIOKafkaProducer(
        **settings.cluster.arguments(),
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=_REQUEST_BYTES,
    )
    async with client:
        partitions = len(await client.partitions_for(topic))
        batches = [client.create_batch() for _ in range(partitions)]
        now_ms = round(time.time() * 1000)
        for number in range(first, end):
            tenant = small_tenant(number)
            document = registry.document(tenant)
            written += len(document)
            place = partition_of(tenant.customer_id, partitions)
            record = {
                "key": tenant.customer_id.encode(),
                "value": document,
                "timestamp": now_ms,
            }
            if batches[place].append(**record) is None:
                await client.send_batch(batches[place], topic, partition=place)
                batches[place] = client.create_batch()
                batches[place].append(**record)
        for place, batch in enumerate(batches):
            if batch.record_count():
                await client.send_batch(batch, topic, partition=place)
    return written


if __name__ == "__main__":
    _bytes = asyncio.run(_write(load(), *map(int, sys.argv[1:3])))
    print(json.dumps({"bytes": _bytes}))
