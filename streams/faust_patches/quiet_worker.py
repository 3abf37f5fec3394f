"""Write nothing but log lines.

Symptom: a spinner writes cursor codes between the lines of the log, and what libraries print comes
out as warnings.
Patches: Worker.__init__.
Test: none.
Drop when: the spinner and the redirection of stdout can be switched off by settings.
"""

from __future__ import annotations

from typing import Any

import faust


class QuietWorker(faust.Worker):
    """A worker process without a spinner and without redirected output."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "redirect_stdouts": False})
        self.spinner = None
