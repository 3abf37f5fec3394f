"""HTTP to endpoints. Nothing else dials a tenant's endpoint."""
