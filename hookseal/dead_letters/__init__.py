"""Dead letters: index, lookup, replay, and events deferred until their endpoint is back."""
