"""The HTTP API: tenants onboard themselves, anyone with the scope publishes."""
