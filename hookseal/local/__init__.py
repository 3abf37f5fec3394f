"""The runtime without Kafka: a store in memory or in Redis, and the ports over it.

A store replaces the topics: events by partition, dead letters, the replay ledger, the delivery
log, the tenants. Everything above it is the same for both stores.
"""
