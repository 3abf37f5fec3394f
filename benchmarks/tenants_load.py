"""Tenants by the million, straight into the changelog; a program of its own."""

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

from benchmarks.process import figures_of
from benchmarks.scenario import PARTITIONS
from hookseal.config import load
from hookseal.domain.command import CreateTenant
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import SCOPES, ApiKey, CommandResult, PublicKey, Tenant
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.seal import base64url
from hookseal.tenants.commands import KafkaCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.deployment import Deployment
    from hookseal.config import Settings

_BATCH_BYTES = 512 * 1024
# Written one by one at the end: the embedded broker reports the start of the last batch where
# it should report the end of the log.
_LAST = 60
_RECENT = 4
# Of four tenants two have RSA-2048, one RSA-4096, one X25519.
_MODULUS_BYTES = (256, 512, 256, 0)


def _random(octets: int) -> str:
    return base64url.encode(secrets.token_bytes(octets)).decode()


def _public_key(modulus_bytes: int) -> PublicKey:
    if modulus_bytes:
        jwk = {"kty": "RSA", "n": _random(modulus_bytes), "e": "AQAB"}
        return PublicKey(_random(32), "RSA-OAEP-256", jwk)
    return PublicKey(_random(32), "ECDH-ES", {"kty": "OKP", "crv": "X25519", "x": _random(32)})


_SHARED_KEY = _public_key(256)


def small_tenant(number: int) -> Tenant:
    """Return a tenant with one public key, which all share, and one endpoint."""
    customer_id = f"customer-{number:07d}"
    return Tenant(
        customer_id,
        revision=3,
        public_keys=(_SHARED_KEY,),
        endpoints=(Endpoint("ep_1", f"https://{customer_id}.example.com/webhooks", ("order.*",)),),
        recent=tuple(
            CommandResult(f"cmd_{number:029d}{one:03d}", "ok", f"{number:029x}{one:03x}")
            for one in range(3)
        ),
    )


def large_tenant(number: int) -> Tenant:
    """Return a tenant whose document has the size of a real one. Its public key is not valid."""
    customer_id = f"customer-{number:07d}"
    return Tenant(
        customer_id,
        revision=_RECENT,
        name=f"Customer {number} Trading Ltd",
        public_keys=(_public_key(_MODULUS_BYTES[number % len(_MODULUS_BYTES)]),),
        endpoints=tuple(
            Endpoint(
                f"ep_{secrets.token_hex(8)}",
                f"https://hooks.{customer_id}.example.com/webhooks/orders-{one}",
                ("order.*", "invoice.paid"),
                description="What the shop needs",
            )
            for one in range(2)
        ),
        api_keys=tuple(
            ApiKey(f"{number:07d}{one:05d}", _random(32), 1, SCOPES, 1_700_000_000.0)
            for one in range(1 + number % 2)
        ),
        recent=tuple(
            CommandResult(f"cmd_{secrets.token_hex(16)}", "ok", secrets.token_hex(16))
            for _ in range(_RECENT)
        ),
    )


_KINDS: Mapping[str, Callable[[int], Tenant]] = {"small": small_tenant, "large": large_tenant}


async def write_tenants(
    deployment: Deployment, kind: str, tenants: int, on_progress: Callable[[int], None]
) -> int:
    """Write tenants with one process per CPU; return the bytes of their documents.

    Args:
        deployment: With the address of the broker in its environment.
        kind: `small` or `large`.
        tenants: How many.
        on_progress: Told how many are written.
    """
    bulk = max(0, tenants - _LAST)
    share = max(1, -(-bulk // (os.cpu_count() or 1)))
    spans = [(first, min(bulk, first + share)) for first in range(0, bulk, share)]
    module, env = "benchmarks.tenants_load", deployment.env
    writers = (
        asyncio.to_thread(figures_of, module, kind, str(first), str(end), env=env)
        for first, end in spans
    )
    written: int = sum(figures["bytes"] for figures in await asyncio.gather(*writers))
    on_progress(bulk)
    async with Producer(deployment.cluster) as producer:
        for number in range(bulk, tenants):
            tenant = _KINDS[kind](number)
            document = deployment.codec.document(tenant)
            await producer.publish(
                deployment.names.tenants_changelog, key=tenant.customer_id.encode(), value=document
            )
            written += len(document)
        # As in production each partition has commands: workers wait for them, and with them
        # for the table.
        commands = KafkaCommands(producer, deployment.names, deployment.codec)
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


async def _write(settings: Settings, kind: str, first: int, end: int) -> int:
    codec, topic = settings.tenant_codec(), settings.names.tenants_changelog
    written = 0
    client = AIOKafkaProducer(
        **settings.cluster.arguments(),
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=2 * _BATCH_BYTES,
    )
    async with client:
        partitions = len(await client.partitions_for(topic))
        batches = [client.create_batch() for _ in range(partitions)]
        now_ms = round(time.time() * 1000)
        for number in range(first, end):
            tenant = _KINDS[kind](number)
            document = codec.document(tenant)
            written += len(document)
            partition = partition_of(tenant.customer_id, partitions)
            record = {"key": tenant.customer_id.encode(), "value": document, "timestamp": now_ms}
            if batches[partition].append(**record) is None:
                await client.send_batch(batches[partition], topic, partition=partition)
                batches[partition] = client.create_batch()
                batches[partition].append(**record)
        for partition, batch in enumerate(batches):
            if batch.record_count():
                await client.send_batch(batch, topic, partition=partition)
    return written


if __name__ == "__main__":
    _bytes = asyncio.run(_write(load(), sys.argv[1], *map(int, sys.argv[2:4])))
    print(json.dumps({"bytes": _bytes}))
