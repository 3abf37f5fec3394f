"""Start no web server.

Symptom: `faust worker` turns the web server on, whatever `web_enabled` says. Its pages show the
content of tables to anybody, and a second worker on the host fails on port 6066.
Patches: BootStrategy.enable_web.
Test: TestSettings.test_the_web_server_stays_off_whatever_the_command_line_says.
Drop when: `faust worker` respects `web_enabled`.
"""

from __future__ import annotations

from faust.app import BootStrategy


class WithoutWeb(BootStrategy):
    """Starts everything but the web server."""

    enable_web = False
