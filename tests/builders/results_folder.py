"""What tests ask of a results folder on the disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["is_whole"]


def is_whole(folder: Path) -> bool:
    """Whether everything that the result lists is there as it was written."""
    files = json.loads((folder / "result.json").read_bytes())["files"]
    return all(hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"] for file in files)
