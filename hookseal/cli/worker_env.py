"""What each process of a crew must have to itself: a folder, a port, a name in the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hookseal.config import Settings

__all__ = ["environments", "make_folder"]


def environments(
    shell: Mapping[str, str], settings: Settings, count: int
) -> list[Mapping[str, str]]:
    """Return the environments of so many workers that share a host.

    Everything else counts for each partition, or is the same for all workers of a deployment.

    Args:
        shell: The environment that the command was started with.
        settings: As read from it.
        count: How many.
    """
    return [{**shell, **_own(settings, number)} for number in range(count)]


def _own(settings: Settings, number: int) -> dict[str, str]:
    # RocksDB locks its files.
    own = {"HOOKSEAL_DATA_DIR": str(settings.data_dir / f"worker-{number}")}
    if settings.group_instance_id:
        # Two members with one name throw each other out of the group.
        own["HOOKSEAL_GROUP_INSTANCE_ID"] = f"{settings.group_instance_id}-{number}"
    if settings.metrics_port is not None:
        own["HOOKSEAL_METRICS_PORT"] = str(settings.metrics_port + number)
    return own


def make_folder(folder: Path) -> None:
    """Make the folder that holds those of the workers: Faust makes one level only.

    Raises:
        ConfigurationError: `folder_not_made`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made",
            f"The folder cannot be made: {error.strerror}. Name another one.",
            field="HOOKSEAL_DATA_DIR",
        ) from None
