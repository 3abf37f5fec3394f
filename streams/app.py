"""The application that `faust -A streams.app worker` runs."""

from hookseal.config import load
from streams.topology import create_app

__all__ = ["app"]

app = create_app(load())
