"""The one place that dials a tenant's endpoint."""
