"""Taking the demo's topics off a cluster that is not the demo's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from hookseal.kafka.cluster import Cluster

__all__ = ["remove_topics"]


async def remove_topics(cluster: Cluster) -> None:
    """Delete the topics of this cluster's prefix."""
    admin = AIOKafkaAdminClient(**cluster.arguments())
    await admin.start()
    try:
        await admin.delete_topics(list(TopicNames(cluster.topic_prefix).configs()))
    finally:
        await admin.close()
