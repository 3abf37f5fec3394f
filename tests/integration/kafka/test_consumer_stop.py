"""A consumer that is stopped as soon as it has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookseal.kafka.consumer import consume

if TYPE_CHECKING:
    from hookseal.config import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


async def test_a_consumer_that_is_stopped_at_once_cancels_nobody(settings: Settings) -> None:
    for _ in range(5):
        async with consume(settings.cluster):
            pass
