"""The local Java, and how brokers run on it."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hookseal.errors import BrokerError

__all__ = ["OLDEST", "ClassArchive", "Java", "find"]

# Since Kafka 4.0 its brokers need Java 17.
OLDEST = 17
_MAJOR = re.compile(r'version "(?:1\.)?(\d+)')
_VERSION_TIMEOUT_S = 30

# The quick compiler only: these brokers live for minutes, and the optimising compiler takes
# its time from the workers on the same cores. 2.4 s to start became 2.0, 10 s for three 6.
_FLAGS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that can run Kafka.

    Attributes:
        program: The absolute path of `java`.
        build: Differs between builds; what one stored, another may not load.
    """

    program: str
    build: str

    def command(self, classpath: str, log_config: Path, *flags: str) -> list[str]:
        """Return the start of a command that runs a class of this class path."""
        logging = f"-Dlog4j2.configurationFile={log_config}"
        return [self.program, *_FLAGS, *flags, logging, "-cp", classpath]


class ClassArchive:
    """Kafka's classes, as the JVM had them parsed and linked (class data sharing).

    The first broker on a machine records them when it stops, which takes it some 3 s; all
    later ones start in 1.0 s instead of 2.0, three of them in 4 s instead of 6.
    """

    def __init__(self, folder: Path, java: Java) -> None:
        """Use the archive of this Java's build in the folder of the jars."""
        self._path = folder / f"classes-{java.build}.jsa"
        self._recording: Path | None = None

    def flags(self, *, record: bool) -> list[str]:
        """Return the JVM's flags that use the archive.

        Args:
            record: Whether this process may make it, if there is none.
        """
        if self._path.exists():
            # Should it not fit after all, the JVM says so in the log and goes on without.
            return [f"-XX:SharedArchiveFile={self._path}"]
        if not record:
            return []
        self._recording = self._path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        return [f"-XX:ArchiveClassesAtExit={self._recording}"]

    def keep(self, *, complete: bool) -> None:
        """Put a recorded archive where the next start finds it.

        Args:
            complete: Whether the JVM ended in peace. One that was killed leaves a part.
        """
        if self._recording is None or not self._recording.exists():
            return
        if complete:
            self._recording.replace(self._path)
        else:
            self._recording.unlink()


def find() -> Java:
    """Return the Java of JAVA_HOME, or else the one on the path.

    Raises:
        BrokerError: `java_missing`, `java_too_old`.
    """
    program = _program()
    try:
        run = subprocess.run(
            [program, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(f"{program} cannot be run ({error})") from error
    # It goes to standard error.
    found = _MAJOR.search(run.stderr)
    if found is None:
        raise _missing(f"{program} does not tell its version")
    if int(found[1]) < OLDEST:
        raise BrokerError(
            "java_too_old",
            f"Apache Kafka needs Java {OLDEST} or newer, and {program} is {found[1]}; point "
            "JAVA_HOME to a newer one.",
        )
    return Java(program, hashlib.sha256(run.stderr.encode()).hexdigest()[:8])


def _program() -> str:
    home = os.environ.get("JAVA_HOME")
    if home:
        return str(Path(home, "bin", "java").absolute())
    program = shutil.which("java")
    if program is None:
        raise _missing("there is no `java` on the path")
    return str(Path(program).absolute())


def _missing(reason: str) -> BrokerError:
    return BrokerError(
        "java_missing",
        f"Apache Kafka needs Java {OLDEST} or newer: {reason}. Install a JRE, or choose another "
        "broker with HOOKSEAL_TEST_BROKER.",
    )
