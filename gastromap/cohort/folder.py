"""The folder of a prepared cohort: whose it is, and whether it may be written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gastromap import __version__
from gastromap.cohort.identities import Identities
from gastromap.cohort.splitting import SplitPlan
from gastromap.errors import OutputError, UsageError
from gastromap.files import write_text

__all__ = ["check_empty", "check_test_centres", "claim"]

_PLAN = "cohort.json"


def check_empty(out: Path) -> None:
    """Refuse a folder with files that no earlier run wrote.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS``.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / _PLAN).is_file():
        raise OutputError(
            "OUTPUT_EXISTS",
            where="output folder",
            expected="an empty folder or one of an earlier run",
            got="other files",
            remedy="Name another folder.",
        )


def claim(out: Path, identities: Identities, content: Mapping[str, Any]) -> None:
    """Tie the folder to its file of identities, and note what it was made with.

    Parameters
    ----------
    out : Path
    identities : Identities
    content : mapping
        For JSON; no patient data.

    Raises
    ------
    UsageError
        ``COHORT_DIFFERS``.
    """
    path = out / _PLAN
    if path.is_file():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            known, pairs = earlier.get("identities"), bool(earlier.get("pairs"))
        except (ValueError, AttributeError):
            known, pairs = None, False
        if known != identities.check:
            raise UsageError(
                "COHORT_DIFFERS",
                where="output folder",
                expected="the file of identities of the earlier run",
                got="another one",
                remedy="Name that file with --identities: other pseudonyms would put patients into the split twice.",
            )
        if pairs != bool(content.get("pairs")):
            raise UsageError(
                "COHORT_DIFFERS",
                where="output folder",
                expected="pairs" if pairs else "key slices",
                got="the other kind",
                remedy="Name another folder, or repeat the earlier command.",
            )
    text = json.dumps(
        {"gastromap": __version__, "identities": identities.check, **content}, indent=1, ensure_ascii=False
    )
    write_text(path, text + "\n")


def check_test_centres(split: SplitPlan, centres: Iterable[str]) -> None:
    """Refuse the name of a test centre that no patient has.

    Raises
    ------
    UsageError
        ``TEST_CENTRE``.
    """
    unknown = set(split.test_centres) - set(centres)
    if unknown:
        raise UsageError(
            "TEST_CENTRE",
            where="--test-centre",
            expected="centres of the column of --centre",
            got=f"{len(unknown)} that no patient has",
            remedy="Correct the name, or give --centre COLUMN.",
        )
