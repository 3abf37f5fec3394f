"""A supervisor that survives rebalances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mode.exceptions import MaxRestartsExceeded
from mode.supervisors import OneForOneSupervisor
from mode.utils.times import rate_limit

if TYPE_CHECKING:
    from mode import ServiceT

__all__ = ["RebalanceSafeSupervisor"]

_BURST = 100.0
_REFILL_PER_S = 10.0


class RebalanceSafeSupervisor(OneForOneSupervisor):
    """Restarts crashed actors, up to a budget that is what it says.

    mode's budget of "100 restarts in 1 s" is a bucket that holds one: two actors that end
    within 10 ms end the worker. And an actor that was stopped, since its partition went
    to another worker, counts as crashed; it must stay stopped.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bucket = rate_limit(_REFILL_PER_S, _BURST, raises=MaxRestartsExceeded)

    def service_operational(self, service: ServiceT) -> bool:
        """Return whether to leave the service alone."""
        return service._stopped.is_set() or not service.crashed  # type: ignore[attr-defined] # noqa: SLF001
