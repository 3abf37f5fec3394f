"""Pure rules: no clock, randomness, I/O or asyncio."""
