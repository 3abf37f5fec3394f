"""Tenants: their commands, the changelog as it is read, and the read model over it."""
