"""Which event types an endpoint wants: `order.paid`, `order.*`, `*`."""

from __future__ import annotations

import re

from hookseal.errors import InvalidCommandError

_PATTERNS_MAX = 100
_PATTERN_MAX = 255
_PATTERN = re.compile(r"\*|[\x21-\x29\x2b-\x7e]+?(\.\*)?")


def subscribes(patterns: tuple[str, ...], event_type: str) -> bool:
    """Return whether one of the patterns matches the event type.

    `order.*` matches `order.paid` and `order.item.added`, not `order`.
    """
    for pattern in patterns:
        if pattern in ("*", event_type):
            return True
        if pattern.endswith(".*") and event_type.startswith(pattern[:-1]):
            return True
    return False


def check_event_types(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the patterns, if all are well formed.

    Raises:
        InvalidCommandError: `event_types_invalid`.
    """
    if not 0 < len(patterns) <= _PATTERNS_MAX or not all(
        len(pattern) <= _PATTERN_MAX and _PATTERN.fullmatch(pattern) for pattern in patterns
    ):
        raise InvalidCommandError(
            "event_types_invalid",
            f"Give 1 to {_PATTERNS_MAX} event types, each an exact name (`order.paid`), "
            "all below a name (`order.*`) or `*`.",
            field="event_types",
        )
    return patterns
