from __future__ import annotations

import pytest

from hookseal.domain.endpoint import check_event_types, subscribes
from hookseal.errors import InvalidCommandError


class TestSubscribes:
    @pytest.mark.parametrize(
        ("pattern", "event_type", "wanted"),
        [
            ("order.paid", "order.paid", True),
            ("order.paid", "order.paid.twice", False),
            ("order.*", "order.paid", True),
            ("order.*", "order.item.added", True),
            ("order.*", "order", False),
            ("order.*", "orders.paid", False),
            ("*", "anything", True),
        ],
    )
    def test_exact_names_prefixes_and_all(
        self, pattern: str, event_type: str, *, wanted: bool
    ) -> None:
        assert subscribes((pattern,), event_type) is wanted

    def test_any_of_several_patterns_is_enough(self) -> None:
        assert subscribes(("invoice.*", "order.paid"), "order.paid")


class TestCheckEventTypes:
    @pytest.mark.parametrize(
        "patterns",
        [(), ("",), ("a*",), ("*.a",), ("a.*.b",), ("a b",), ("**",), ("x" * 256,), ("a",) * 101],
    )
    def test_refuses_what_is_no_pattern(self, patterns: tuple[str, ...]) -> None:
        with pytest.raises(InvalidCommandError) as refused:
            check_event_types(patterns)

        assert refused.value.code == "event_types_invalid"
        assert refused.value.field == "event_types"

    def test_returns_what_is_well_formed(self) -> None:
        assert check_event_types(("a", "a.*", "*")) == ("a", "a.*", "*")
