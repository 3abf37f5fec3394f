"""The application that `faust -A streams.app worker` runs."""

import sys

from hookseal.config import load
from hookseal.descriptors import raise_soft_limit
from hookseal.environment import usable_folder
from hookseal.errors import ConfigurationError
from hookseal.runtime.process import set_switch_interval, tune_gc, use_event_loop
from streams.topology import create_app

# Before any connection: the connection pool of the endpoints is half of the limit.
raise_soft_limit()
try:
    settings = load()
    usable_folder(settings.data_dir)
    use_event_loop(settings.event_loop)
    set_switch_interval()
    app = create_app(settings)
    tune_gc()
except ConfigurationError as error:
    # Faust would print a traceback with the error at its end.
    print(error, file=sys.stderr)  # noqa: T201
    sys.exit(78)  # EX_CONFIG of sysexits.h
