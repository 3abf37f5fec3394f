"""Pure rules: no clock, chance, I/O or asyncio."""
