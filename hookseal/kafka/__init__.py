"""Kafka: cluster, topics, consumers, producer, partitioner, and the embedded broker."""

from hookseal.kafka import record_batches

# Before any consumer is made, Faust's included: no batch may stop one of them.
record_batches.install()
