"""The application that `faust -A streams.app worker` runs."""

import sys

from hookseal.config import load
from hookseal.errors import ConfigurationError
from streams.topology import create_app

__all__ = ["app"]

try:
    app = create_app(load())
except ConfigurationError as error:
    # Faust would show a traceback, at the end of which this stands.
    print(error, file=sys.stderr)  # noqa: T201
    sys.exit(78)  # EX_CONFIG of sysexits.h
