"""`hookseal worker --processes`: how many, and what each has to itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.cli.worker import environments, process_count
from hookseal.config import Settings
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run

MASTER_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def settings(**changes: Any) -> Settings:
    return Settings.model_construct(data_dir=Path("/data"), **changes)


class TestHowMany:
    def test_a_number_is_that_many(self) -> None:
        assert process_count("4") == 4

    def test_auto_is_one_for_each_cpu_that_may_be_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)

        assert process_count("auto") == 3

    def test_auto_is_one_for_each_cpu_where_nothing_is_said_of_their_use(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 5)

        assert process_count("auto") == 5

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "all", "", "²"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInputError) as refusal:
            process_count(text)

        assert (refusal.value.code, refusal.value.field) == ("processes_invalid", "--processes")


class TestEnvironments:
    def test_each_has_a_folder_of_its_own_and_all_else_in_common(self) -> None:
        shell = {"PATH": "/bin", "HOOKSEAL_DATA_DIR": "/data", "HOOKSEAL_MAX_IN_FLIGHT": "8"}

        found = environments(shell, settings(), 2)

        assert found == [{**shell, "HOOKSEAL_DATA_DIR": f"/data/worker-{n}"} for n in range(2)]

    def test_each_has_a_port_and_a_name_of_its_own_where_there_are_any(self) -> None:
        found = environments({}, settings(metrics_port=9100, group_instance_id="host"), 3)

        assert [one["HOOKSEAL_METRICS_PORT"] for one in found] == ["9100", "9101", "9102"]
        names = [one["HOOKSEAL_GROUP_INSTANCE_ID"] for one in found]
        assert names == ["host-0", "host-1", "host-2"]

    def test_every_setting_of_theirs_is_one_that_there_is(self) -> None:
        (own,) = environments({}, settings(metrics_port=9100, group_instance_id="host"), 1)

        known = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields}
        assert set(own) <= known


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("where", ["file", "file/data", "/proc/nope"])
def test_a_data_folder_that_cannot_be_used_is_named(
    run: Run, tmp_path: Path, where: str, processes: str
) -> None:
    (tmp_path / "file").touch()

    result = run(
        "worker",
        "--processes",
        processes,
        HOOKSEAL_MASTER_KEY=MASTER_KEY,
        HOOKSEAL_DATA_DIR=str(tmp_path / where),
    )

    assert result.exit_code == 78
    assert result.stderr.startswith("data_dir_unusable (HOOKSEAL_DATA_DIR): ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("processes", ["1", "2", "auto"])
def test_no_process_is_started_without_a_master_key(run: Run, processes: str) -> None:
    result = run("worker", "--processes", processes)

    assert result.exit_code == 78
    assert result.stderr.startswith("master_key_missing")


def test_a_number_that_is_none_is_refused(run: Run) -> None:
    result = run("worker", "--processes", "many", HOOKSEAL_MASTER_KEY=MASTER_KEY)

    assert result.exit_code == 2
    assert result.stderr.startswith("processes_invalid (--processes): ")
