"""What talks to Kafka besides the streams: topics, producer, read model, brokers."""

from hookseal.kafka import record_batches

# Before any consumer is made, Faust's included: no batch may stop one of them.
record_batches.install()
