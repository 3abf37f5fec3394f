from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def reference() -> dict[str, str]:
    """Return the generated pages as they should be."""
    spec = importlib.util.spec_from_file_location(
        "reference", REPOSITORY / "docs" / "site" / "reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: page() for name, page in module.PAGES.items()}


def test_the_pages_of_reference_are_current() -> None:
    for name, text in reference().items():
        assert (REPOSITORY / "docs" / name).read_text() == text, (
            f"write {name} anew: `python docs/site/reference.py`"
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    # Strict: the build itself refuses links and anchors that lead nowhere.
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}

    assert {"index.html", "receiving.html", "concepts/events.html", "cli.html"} < pages


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    loaded = [
        address
        for page in site.rglob("*.html")
        for address in re.findall(
            r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)\"|<link[^>]*rel=\"stylesheet\"[^>]*href=\"([^\"]+)\"",
            page.read_text(),
        )
    ]

    assert loaded
    assert [address for pair in loaded for address in pair if "://" in address] == []
