"""The runtime without Kafka: stores in memory and in Redis, and the ports on them.

A store replaces the topics: events by partition, dead letters, replay ledger, delivery log and
tenants. Everything above it is the same for both stores.
"""
