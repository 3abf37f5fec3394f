from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError
from tests.brokers.jars import POM, resolve

if TYPE_CHECKING:
    from pathlib import Path

# Says what it was asked, and puts two jars where it was told to.
MAVEN = """#!/bin/sh
echo "$@" >> "$0.calls"
for argument; do
  case "$argument" in -DoutputDirectory=*) folder="${argument#*=}";; esac
done
echo jar > "$folder/b.jar"
echo jar > "$folder/a.jar"
"""
FAILING = """#!/bin/sh
echo "[ERROR] Could not transfer artifact"
exit 1
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path; with an empty cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def install(programs: Path, script: str) -> None:
    (programs / "mvn").write_text(script)
    (programs / "mvn").chmod(0o755)


def calls(programs: Path) -> list[str]:
    return (programs / "mvn.calls").read_text().splitlines()


def cached(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache" / "hookseal").iterdir() if path.is_dir()]


def test_maven_is_asked_once(programs: Path, tmp_path: Path) -> None:
    install(programs, MAVEN)

    first, second = resolve(), resolve()

    assert first == second
    assert len(calls(programs)) == 1
    assert cached(tmp_path) == [first.folder.name]


def test_a_complete_cache_needs_no_maven(programs: Path) -> None:
    install(programs, MAVEN)
    filled = resolve()
    (programs / "mvn").unlink()

    assert resolve() == filled


def test_checksums_are_verified(programs: Path) -> None:
    install(programs, MAVEN)

    resolve()

    assert "--strict-checksums" in calls(programs)[0]


def test_the_jars_stand_on_the_class_path_in_one_order(programs: Path) -> None:
    install(programs, MAVEN)

    jars = resolve()

    assert jars.classpath == f"{jars.folder}/a.jar:{jars.folder}/b.jar"
    assert jars.log_config.exists()


def test_another_pom_gets_jars_of_its_own(programs: Path, tmp_path: Path) -> None:
    install(programs, MAVEN)
    other = tmp_path / "pom.xml"
    shutil.copy(POM, other)
    other.write_text(other.read_text() + "<!-- changed -->")

    assert resolve().folder != resolve(other).folder


def test_without_maven_it_says_what_to_install(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(BrokerError) as caught:
        resolve()

    assert caught.value.code == "maven_missing"
    assert cached(tmp_path) == []


def test_what_maven_says_is_passed_on_and_nothing_is_left_behind(
    programs: Path, tmp_path: Path
) -> None:
    install(programs, FAILING)

    with pytest.raises(BrokerError) as caught:
        resolve()

    assert caught.value.code == "kafka_not_resolved"
    assert "Could not transfer artifact" in caught.value.message
    assert cached(tmp_path) == []


def test_without_a_checkout_it_names_another_kind(tmp_path: Path) -> None:
    with pytest.raises(BrokerError) as caught:
        resolve(tmp_path / "pom.xml")

    assert caught.value.code == "broker_missing"
    assert "embedded" in caught.value.message


def test_the_pom_pins_one_version_of_kafka_4(programs: Path) -> None:
    install(programs, MAVEN)

    major, *rest = resolve().version.split(".")

    assert major == "4"
    assert all(part.isdigit() for part in rest)


def test_a_relative_cache_home_is_ignored(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(programs, MAVEN)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert resolve().folder.parent == tmp_path / ".cache" / "hookseal"
