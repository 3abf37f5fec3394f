"""What talks to Kafka besides the streams: topics, producer, read model, brokers."""
