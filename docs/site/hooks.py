"""Makes pages of the site out of what stands elsewhere in the repository, and mends its links."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["on_files", "on_page_markdown"]

_REPOSITORY = Path(__file__).parents[2]
# Page of the site, by file of the repository.
_ELSEWHERE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "receiver/README.md": "receiver.md",
    "tests/vectors/README.md": "vectors.md",
}
_FILES = {page: file for file, page in _ELSEWHERE.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere."""
    for file, page in _ELSEWHERE.items():
        files.append(File.generated(config, page, content=(_REPOSITORY / file).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Have links lead to pages of the site; what is no page of it is named by its path."""
    name = page.file.src_uri
    here = PurePosixPath(_FILES.get(name, f"docs/{name}")).parent

    def mended(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = normpath(str(here / target))
        if path in _ELSEWHERE:
            return f"[{text}]({_ELSEWHERE[path]}{anchor})"
        if path.startswith("docs/"):
            return f"[{text}]({path.removeprefix('docs/')}{anchor})"
        # What does not exist stays a link, so that the build refuses it.
        return f"{text} (`{path}`)" if (_REPOSITORY / path).exists() else match[0]

    return _LINK.sub(mended, markdown)
