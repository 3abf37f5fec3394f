"""hookseal: sealed webhooks from Kafka.

Events keyed by customer id are joined with that customer's tenant, sealed to the
tenant's own public key (JWE), signed (Standard Webhooks), and delivered to the
tenant's endpoints in order, with exponential backoff, at least once.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("hookseal")
