"""Add repository files outside `docs/` as pages of the site, and rewrite their links."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["on_files", "on_page_markdown"]

_REPOSITORY = Path(__file__).parents[2]
# Page of the site, by file of the repository.
_OUTSIDE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "receiver/README.md": "receiver.md",
    "tests/vectors/README.md": "vectors.md",
}
_FILES = {page: file for file, page in _OUTSIDE.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`."""
    for file, page in _OUTSIDE.items():
        files.append(File.generated(config, page, content=(_REPOSITORY / file).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite links to pages of the site. Links to other files become their paths."""
    name = page.file.src_uri
    here = PurePosixPath(_FILES.get(name, f"docs/{name}")).parent

    def rewritten(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = normpath(str(here / target))
        if path in _OUTSIDE:
            path = f"docs/{_OUTSIDE[path]}"
        if path.startswith("docs/"):
            return f"[{text}]({relpath(path, PurePosixPath('docs', name).parent)}{anchor})"
        # A link to a missing file stays, so that the build refuses it.
        return f"{text} (`{path}`)" if (_REPOSITORY / path).exists() else match[0]

    return _LINK.sub(rewritten, markdown)
