"""What is installed is what was locked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt"]
A_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==([^\s;\\]+)", re.MULTILINE)


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
