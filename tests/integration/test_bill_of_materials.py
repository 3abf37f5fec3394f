"""All that is installed is listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
A_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(A_PIN.findall((REPOSITORY / lock).read_text()))


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
