"""Where a delivery waits: a permit (concurrency, rate) or a backoff."""
