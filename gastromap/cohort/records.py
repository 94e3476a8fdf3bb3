"""What was found in each study, one JSON file each, written last: what is there need not be read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gastromap.files import write_text

__all__ = ["Records"]


class Records:
    """Records below a prepared folder.

    Parameters
    ----------
    out : Path
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / "records"

    def load(self, name: str) -> dict[str, Any] | None:
        """Read a record with ``state`` and ``result``; None where there is none or it is damaged."""
        try:
            record = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            _ = record["state"], record["result"]["status"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return dict(record)

    def save(self, name: str, record: Mapping[str, Any]) -> None:
        """Write a record, or drop it if it failed: memory and time depend on the machine, so the next run retries."""
        if record["result"]["status"] == "failed":
            (self._folder / f"{name}.json").unlink(missing_ok=True)
        else:
            write_text(self._folder / f"{name}.json", json.dumps(record, indent=1) + "\n")

    def keep(self, names: set[str]) -> None:
        """Drop the records of others."""
        for path in self._folder.glob("*.json"):
            if path.stem not in names:
                path.unlink()
