"""Where a bundle lies and what its metadata say; the same for every kind of bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gastromap.errors import ModelError

__all__ = ["find_bundle", "read_metadata"]


def find_bundle(models: Path, name: str) -> Path:
    """Folder of the bundle ``name`` below ``models``, or ``models`` itself if it is the bundle.

    Raises
    ------
    ModelError
        ``BUNDLE_MISSING``.
    """
    for folder in (models / name, models):
        if (folder / "configs" / "metadata.json").is_file():
            return folder
    raise ModelError(
        "BUNDLE_MISSING",
        where="model",
        expected=f"a folder with the bundle {name}",
        got="none",
        remedy="Name the folder that holds the bundles (-m or HOLOSCAN_MODEL_PATH).",
    )


def read_metadata(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read ``configs/metadata.json`` of a bundle.

    Returns
    -------
    metadata : dict
    columns : tuple of str
        Names of the network's outputs, in order.

    Raises
    ------
    ModelError
        ``BUNDLE_METADATA``.
    """
    try:
        metadata: dict[str, Any] = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        columns = tuple(str(channels[str(i)]) for i in range(len(channels)))
        str(metadata["name"]), str(metadata["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "BUNDLE_METADATA",
            where="model",
            expected="configs/metadata.json with name, version and channel_def",
            got=type(error).__name__,
            remedy="Restore the bundle.",
        ) from error
    return metadata, columns
