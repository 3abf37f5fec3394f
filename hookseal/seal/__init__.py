"""Encrypt to the tenant, sign for the tenant: bytes in, bytes out."""
