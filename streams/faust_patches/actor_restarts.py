"""Give crashed actors the restart budget that the setting names.

Symptom: mode's budget of "100 restarts in 1 s" allows only one restart per 10 ms: two actors that
end within 10 ms end the worker. An actor that was stopped, because its partition was revoked,
counts as crashed.
Patches: SupervisorStrategy._bucket, .service_operational (mode).
Test: TestSupervisor.
Drop when: a mode release fixes the bucket, and leaves stopped services alone.
"""

from __future__ import annotations

from typing import Any

from mode.exceptions import MaxRestartsExceeded
from mode.supervisors import OneForOneSupervisor
from mode.utils.times import rate_limit

_BURST = 100.0
_REFILL_PER_S = 10.0


class RebalanceSafeSupervisor(OneForOneSupervisor):
    """Restarts crashed actors, up to 100 at once and 10/s; leaves stopped ones alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bucket = rate_limit(_REFILL_PER_S, _BURST, raises=MaxRestartsExceeded)

    def service_operational(self, service: Any) -> bool:
        """Return whether to leave the service alone."""
        return service._stopped.is_set() or not service.crashed  # noqa: SLF001
