"""Apache Kafka's jars: resolved once by Maven, kept in a cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["POM", "Jars", "resolve"]

# In a checkout; an installed wheel does not carry it.
POM = Path(__file__).parents[2] / "deploy" / "kafka" / "pom.xml"
_RESOLVE_TIMEOUT_S = 600
_VERSION = re.compile(r"<kafka\.version>([^<]+)</kafka\.version>")
_LINES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Jars:
    """A complete set of jars.

    Attributes:
        version: Kafka's.
        folder: Where they are. Its name changes whenever the pom does.
        log_config: The log4j2 configuration that goes with them.
    """

    version: str
    folder: Path
    log_config: Path

    @property
    def classpath(self) -> str:
        """Return the class path, always in the same order: class archives depend on it."""
        return os.pathsep.join(str(jar) for jar in sorted(self.folder.glob("*.jar")))


def resolve(pom: Path = POM) -> Jars:
    """Return the jars that a pom asks for; from the cache, or else by Maven.

    A folder in the cache is complete or absent: it is filled under another name first. Of
    several processes that find it absent, one fills it and the others wait.

    Raises:
        BrokerError: `broker_missing` without a pom, `maven_missing`, `kafka_not_resolved`.
    """
    try:
        text = pom.read_bytes()
    except FileNotFoundError:
        raise BrokerError(
            "broker_missing",
            "Apache Kafka is started from a checkout of hookseal, whose deploy/kafka/pom.xml "
            "names its version; here, use `embedded` or HOOKSEAL_KAFKA_BOOTSTRAP.",
        ) from None
    version = _version(text.decode())
    cache = _cache()
    # The digest: a pom with another log binding, say, must not find the former jars.
    folder = cache / f"kafka-{version}-{hashlib.sha256(text).hexdigest()[:8]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "kafka.lock"):
            if not folder.is_dir():
                _fill(folder, pom)
    return Jars(version, folder, pom.with_name("log4j2.properties"))


def _fill(folder: Path, pom: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError(
            "maven_missing",
            "Apache Kafka's jars are fetched with Maven, once; install `mvn`, or choose "
            "another broker with HOOKSEAL_TEST_BROKER.",
        )
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _copy_dependencies(maven, pom, temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_dependencies(maven: str, pom: Path, folder: Path) -> None:
    command = [
        maven,
        "--quiet",
        "--batch-mode",
        "--strict-checksums",
        f"--file={pom}",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={folder}",
    ]
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RESOLVE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_resolved(f"did not end within {_RESOLVE_TIMEOUT_S} s") from error
    if run.returncode != 0:
        lines = "\n".join((run.stdout + run.stderr).splitlines()[:_LINES_SHOWN])
        raise _not_resolved(f"ended with status {run.returncode}:\n{lines}")


def _not_resolved(reason: str) -> BrokerError:
    return BrokerError(
        "kafka_not_resolved",
        "Maven could not fetch Apache Kafka's jars; check the network and the mirrors in "
        f"Maven's settings.xml. It {reason}",
    )


def _version(pom: str) -> str:
    found = _VERSION.search(pom)
    if found is None:
        raise BrokerError(
            "kafka_not_resolved", "The pom must name Kafka's version as <kafka.version>."
        )
    return found[1]


def _cache() -> Path:
    # XDG Base Directory Specification 0.8: a relative path is to be ignored.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "hookseal"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # flock: the kernel gives it back however its holder ends.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
