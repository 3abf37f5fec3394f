"""The engine: one event to its endpoints. Knows only its ports."""
