"""What the Kafka worker and `hookseal local` share: the engine and what a process needs."""
