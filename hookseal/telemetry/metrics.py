"""All metrics. Labels have a bounded set of values: no customer id, no URL."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)

ATTEMPTS = Counter("hookseal_attempts_total", "Delivery attempts, by result code.", ["code"])
ATTEMPT_SECONDS = Histogram(
    "hookseal_attempt_seconds",
    "Duration of an attempt in seconds, connect to last byte.",
    buckets=_LATENCY_S,
)
SEAL_SECONDS = Histogram(
    "hookseal_seal_seconds",
    "Seconds to encrypt and sign one request.",
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1),
)
DELIVERIES = Counter("hookseal_deliveries_total", "Completed deliveries, by outcome.", ["outcome"])
DELIVERY_SECONDS = Histogram(
    "hookseal_delivery_seconds",
    "Seconds from the record's timestamp to the accepted attempt.",
    buckets=_LATENCY_S,
)
DEAD_LETTERS = Counter(
    "hookseal_dead_letters_total",
    "Dead letters, by reason and by category (who has to fix it).",
    ["reason", "category"],
)
DEAD_LETTER_WRITE_FAILURES = Counter(
    "hookseal_dead_letter_write_failures_total",
    "Failed writes of dead letters: refused, or not acknowledged within 5 s.",
)
DEAD_LETTER_WRITES_HELD = Gauge(
    "hookseal_dead_letter_writes_held",
    "Dead letters whose write is retried. Each blocks its partition.",
)
WRITE_FAILURES = Counter(
    "hookseal_write_failures_total",
    "Failed writes to Kafka, by topic and code. `record_refused` is not retried.",
    ["topic", "code"],
)
TENANTS_IN_STORM = Gauge(
    "hookseal_tenants_in_storm",
    "Tenants with more dead letters in a minute than the storm threshold.",
)
SUSPENDED_ENDPOINTS = Gauge(
    "hookseal_suspended_endpoints", "Suspended endpoints. Their events are deferred.", ["partition"]
)
SUSPENSIONS = Counter("hookseal_suspensions_total", "Suspensions of endpoints, by reason.", ["why"])
FAILED_PROBES = Counter("hookseal_failed_probes_total", "Failed attempts at suspended endpoints.")
DRAINED = Counter(
    "hookseal_drained_total",
    "Deferred events that were delivered or dead-lettered.",
)
DELIVERY_LOG_DROPPED = Counter(
    "hookseal_delivery_log_dropped_total", "Attempts that are missing from the delivery log."
)
IN_BACKOFF = Gauge("hookseal_in_backoff", "Deliveries in backoff.", ["partition"])
IN_FLIGHT = Gauge("hookseal_in_flight", "Attempts in progress.", ["partition"])
LANES = Gauge(
    "hookseal_lanes",
    "Ordering keys with queued events. Always 0 in the ordering mode `partition`.",
    ["partition"],
)
OLDEST_HOLD_SECONDS = Gauge(
    "hookseal_oldest_hold_seconds",
    "Age in seconds of the oldest event in progress, since it was scheduled.",
    ["partition"],
)
LAG = Gauge(
    "hookseal_lag",
    "Consumer lag in events: from the committed offset to the last stable offset.",
    ["partition"],
)
UNCOMMITTED_RECORDS = Gauge(
    "hookseal_uncommitted_records",
    "Records behind the last stable offset of a partition of `events`. They are delivered once "
    "the oldest open transaction ends.",
    ["partition"],
)
RECOVERING = Gauge(
    "hookseal_recovering", "1 while the tenants table is recovered from its changelog, else 0."
)
RECOVERY_SECONDS = Gauge(
    "hookseal_recovery_seconds", "Duration of the last recovery of the tenants table in seconds."
)
RESOURCE_EXHAUSTED = Counter(
    "hookseal_resource_exhausted_total",
    "Requests that failed because this process lacked a local resource. The same attempt is "
    "repeated.",
    ["resource"],
)
MISROUTED = Counter(
    "hookseal_misrouted_total", "Events that were on a wrong partition and were rerouted."
)
SKIPPED = Counter("hookseal_skipped_total", "Events without a subscribed endpoint.")
GAPS = Counter("hookseal_gaps_total", "Offset gaps. The partition was read again.")
FORGED_RECORDS = Counter(
    "hookseal_forged_records_total",
    "Commands and tenant documents that were ignored because their MAC is missing or wrong.",
)
UNREADABLE_BATCHES = Counter(
    "hookseal_unreadable_batches_total",
    "Record batches that were skipped because they cannot be decoded.",
)
TENANT_WRITES_REFUSED = Counter(
    "hookseal_tenant_writes_refused_total",
    "Tenant changes that Kafka refused permanently. They were undone.",
)
COMMANDS = Counter("hookseal_commands_total", "Processed tenant commands, by result.", ["code"])
PUBLISHED = Counter(
    "hookseal_published_total", "Events that the API accepted, duplicates included."
)
API_REQUESTS = Counter(
    "hookseal_api_requests_total",
    "API requests, by operation and HTTP status.",
    ["operation", "status"],
)
API_THROTTLED = Counter(
    "hookseal_api_throttled_total", "API requests that were answered with 429, by code.", ["code"]
)
CONNECTIONS = Gauge(
    "hookseal_connections", "Open connections to a server of this process.", ["server"]
)
CONNECTIONS_CLOSED = Counter(
    "hookseal_connections_closed_total",
    "Connections that a server closed or refused, by reason.",
    ["server", "reason"],
)
API_SECONDS = Histogram(
    "hookseal_api_seconds",
    "Duration of successful API requests in seconds.",
    ["operation"],
    buckets=_LATENCY_S,
)
