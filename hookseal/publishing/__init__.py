"""Publishing: events are written to Kafka once, and acknowledged before the API answers."""
