"""The process of `hookseal local`: store, engine and API put together."""
