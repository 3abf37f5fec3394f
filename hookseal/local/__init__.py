"""The engine's surroundings without Kafka: a store in memory or in Redis, and the ports over it.

A store holds what the topics hold otherwise: events by partition, dead letters, the ledger
of replays, the delivery log, the tenants. Everything above it is the same for both.
"""
