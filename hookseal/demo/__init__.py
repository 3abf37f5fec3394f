"""The demo: six tenants, real workers and receivers on one machine, and a check of the result."""
