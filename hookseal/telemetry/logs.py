"""Structured logs of hookseal and its libraries, as JSON or for a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson
import structlog

from hookseal.domain.utc_time import format_utc_seconds
from hookseal.telemetry.repeated_lines import RepeatedLines

_SHARED: list[Any] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_THROUGH_LOGGING: list[Any] = [
    structlog.stdlib.filter_by_level,
    *_SHARED,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]

# Their INFO lines help only to debug them. (`streams` are Faust's services under our names. Our own
# lines are under `hookseal`.)
_LIBRARIES = ("aiokafka", "faust", "mode", "streams")


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that prints nothing until logging is configured.

    structlog's default would print to stdout, which belongs to the output of a command.
    """
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), wrapper_class=structlog.stdlib.BoundLogger
    )
    return wrapped


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """Set up structlog and return the matching `logging.config.dictConfig` dictionary.

    Args:
        level: Minimum level of our own lines. Libraries log from WARNING, or from INFO at DEBUG.
        log_format: `json`, `console`, or `auto`: console on a terminal, JSON otherwise.
    """
    as_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    if as_console:
        structlog.configure(
            processors=_THROUGH_LOGGING,
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        renderers: list[Any] = [
            # Without locals, which the renderer's default prints: they hold payloads and secrets.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        # Our own lines bypass the standard logger: there is one for each attempt.
        structlog.configure(
            processors=[_rendered],
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            wrapper_class=_fast_logger(level),
            cache_logger_on_first_use=True,
        )
        renderers = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_json),
        ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderers,
                ],
            }
        },
        "filters": {"repeated": {"()": RepeatedLines}},
        "handlers": {
            "stderr": {
                "filters": ["repeated"],
                "class": "logging.StreamHandler",
                "formatter": "structured",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": "WARNING" if level != "DEBUG" else "DEBUG"},
        "loggers": {
            "hookseal": {"level": level},
            # Never DEBUG: at that level they log each value that they write, payloads included.
            **{name: {"level": "INFO" if level == "DEBUG" else "WARNING"} for name in _LIBRARIES},
        },
    }


def _fast_logger(level: str) -> type[Any]:
    """Return structlog's filtering logger, with an `info` that takes half as long."""
    filtering: type[Any] = structlog.make_filtering_bound_logger(level)
    if logging.getLevelName(level) > logging.INFO:
        return filtering

    class FastLogger(filtering):  # type: ignore[misc]
        def info(self, event: str, *args: Any, **fields: Any) -> Any:
            # A test that captures logs replaces the processors.
            if args or self._context or self._processors[0] is not _rendered:
                return super().info(event, *args, **fields)
            fields["event"] = event
            return self._logger.msg(_rendered(self._logger, "info", fields))

    return FastLogger


def _rendered(line_to: Any, level: str, line: Any) -> Any:
    """Do the work of `_SHARED` and of the renderer in one call."""
    if isinstance(line_to, logging.Logger):
        # A logger of `logger()`: our handler renders its lines.
        for processor in _THROUGH_LOGGING:
            line = processor(line_to, level, line)
        return line
    line["level"] = level
    line["logger"] = line_to.name
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    line["timestamp"] = f"{format_utc_seconds(seconds)}.{rest // 1000:06}Z"
    if "exc_info" in line:
        line = structlog.processors.format_exc_info(line_to, level, line)
    return orjson.dumps(line, default=repr)


def _json(line: Any, **_: Any) -> str:
    return orjson.dumps(line, default=repr).decode()
