"""What `hookseal bench` says while it measures, and where it leaves its figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookseal.cli import ui
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.progress import Progress


class Stages:
    """A progress bar for what is under way; a line for each stage where it draws nothing."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=None)

    def stage(self, text: str, total: int | None = None) -> None:
        """Say that something begins that has this many steps."""
        self._progress.reset(self._task, description=text, total=total)
        if self._progress.disable:
            ui.err.print(text)

    def done(self, steps: int) -> None:
        """Say that so many steps are done."""
        self._progress.update(self._task, completed=steps)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON.

    Raises:
        ConfigurationError: As `write`.
    """
    import orjson

    write(path, orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write a file, and make its folder.

    Raises:
        ConfigurationError: `file_not_written`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            "file_not_written", f"The file cannot be written: {error.strerror}.", field=str(path)
        ) from None


def make_folder(folder: Path) -> None:
    """Make a folder that is not there yet.

    Raises:
        ConfigurationError: `folder_not_made`.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made", f"The folder cannot be made: {error.strerror}.", field=str(folder)
        ) from None
