from __future__ import annotations

from pathlib import Path

import pytest

from hookseal.errors import BrokerError
from tests.brokers.java import ClassArchive, Java, find

JAVA_8 = 'openjdk version "1.8.0_392"'
JAVA_11 = 'openjdk version "11.0.21" 2023-10-17'
JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'
JAVA_25 = 'openjdk version "25" 2025-09-16'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A JAVA_HOME without a Java, and no other Java around."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return tmp_path


def install(home: Path, says: str) -> None:
    program = home / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)


@pytest.mark.parametrize("says", [JAVA_17, JAVA_25])
def test_a_new_java_is_taken(home: Path, says: str) -> None:
    install(home, says)

    assert find().program == str(home / "bin" / "java")


@pytest.mark.parametrize(("says", "major"), [(JAVA_8, "8"), (JAVA_11, "11")])
def test_an_old_java_is_refused(home: Path, says: str, major: str) -> None:
    install(home, says)

    with pytest.raises(BrokerError) as caught:
        find()

    assert caught.value.code == "java_too_old"
    assert f"is {major};" in caught.value.message


def test_a_java_home_without_java_is_refused_by_its_path(home: Path) -> None:
    with pytest.raises(BrokerError) as caught:
        find()

    assert caught.value.code == "java_missing"
    assert str(home / "bin" / "java") in caught.value.message


def test_no_java_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME")

    with pytest.raises(BrokerError) as caught:
        find()

    assert caught.value.code == "java_missing"


def test_the_java_on_the_path_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(home, JAVA_17)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(home / "bin"))

    assert find().program == str(home / "bin" / "java")


def test_what_is_no_java_is_refused(home: Path) -> None:
    install(home, "command not supported")

    with pytest.raises(BrokerError) as caught:
        find()

    assert caught.value.code == "java_missing"


def test_two_builds_are_told_apart(home: Path) -> None:
    install(home, JAVA_17)
    first = find().build
    install(home, JAVA_25)

    assert find().build != first


class TestClassArchive:
    @pytest.fixture
    def archive(self, tmp_path: Path) -> ClassArchive:
        return ClassArchive(tmp_path, Java("/java", "1234"))

    def record(self, archive: ClassArchive) -> None:
        """What the JVM does when it ends."""
        (flag,) = archive.flags(record=True)
        Path(flag.removeprefix("-XX:ArchiveClassesAtExit=")).write_text("classes")

    def test_the_first_start_records_it_for_the_next(
        self, archive: ClassArchive, tmp_path: Path
    ) -> None:
        self.record(archive)
        archive.keep(complete=True)

        assert archive.flags(record=True) == [
            f"-XX:SharedArchiveFile={tmp_path / 'classes-1234.jsa'}"
        ]

    def test_what_a_killed_jvm_left_is_thrown_away(
        self, archive: ClassArchive, tmp_path: Path
    ) -> None:
        self.record(archive)
        archive.keep(complete=False)

        assert archive.flags(record=False) == []
        assert [path for path in tmp_path.iterdir() if path.is_file()] == []

    def test_nothing_recorded_is_nothing_kept(self, archive: ClassArchive) -> None:
        archive.flags(record=True)
        archive.keep(complete=True)

        assert archive.flags(record=False) == []

    def test_another_build_does_not_use_it(self, archive: ClassArchive, tmp_path: Path) -> None:
        self.record(archive)
        archive.keep(complete=True)

        assert ClassArchive(tmp_path, Java("/java", "5678")).flags(record=False) == []
