"""Keep queued records when the flow resumes.

Symptom: `flow_control.resume()` empties the queues. Faust starts to fetch first and resumes the
flow then: what came in between is lost while the position has moved on. On Apache Kafka 4.4 a
start lost 1 to 12 events of a partition.
Patches: FlowControlEvent.resume (mode).
Test: TestFlowControl.
Drop when: a mode release resumes without emptying the queues.
"""

from __future__ import annotations

from mode.utils.queues import FlowControlEvent


class KeepingFlowControl(FlowControlEvent):
    """Flow control that clears stale records at a revocation only, which is early enough."""

    def resume(self) -> None:
        """Let events flow again."""
        self._suspend.clear()
        self._resume.set()
