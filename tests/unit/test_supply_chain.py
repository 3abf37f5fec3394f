"""What is installed is what was locked, and all of it is listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt"]
A_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(A_PIN.findall((REPOSITORY / lock).read_text()))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_with_a_hash(lock: str) -> None:
    blocks = re.split(r"\n(?=\S)", (REPOSITORY / lock).read_text().strip())
    requirements = [block for block in blocks if not block.startswith(("#", "    #"))]

    assert len(requirements) > 20
    for block in requirements:
        assert A_PIN.match(block), block
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index(lock: str) -> None:
    assert "://" not in (REPOSITORY / lock).read_text()


def test_the_bill_of_materials_lists_all_that_is_installed(tmp_path: Path) -> None:
    target = tmp_path / "sbom.json"
    subprocess.run(
        ["make", "--silent", "sbom", f"SBOM={target}", f"VENV={Path(sys.prefix)}"],
        cwd=REPOSITORY,
        check=True,
    )

    listed = json.loads(target.read_text())
    found = {part["name"]: part["version"] for part in listed["components"]}
    assert listed["bomFormat"] == "CycloneDX"
    assert found == pins("requirements.txt")
    assert all(part["hashes"] for part in listed["components"] if "hashes" in part)
