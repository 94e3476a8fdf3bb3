"""The results folder of an evaluation: all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gastromap.evaluation.drawing import figure_bytes, house_style
from gastromap.evaluation.figures import evaluation_figures
from gastromap.evaluation.page import render_page
from gastromap.evaluation.tables import csv_text, evaluation_tables, named_nomograms
from gastromap.files import check_none_exists, probe_folder, unwritable
from gastromap.nomogram.combined import CombinedNomogram

__all__ = ["RESULT", "check_output", "write_evaluation"]

#: Renamed last: a folder without it holds no result.
RESULT = "evaluation.json"
_PAGE, _TABLES, _FIGURES, _NOMOGRAMS = "report.html", "tables", "figures", "nomograms"
_STAGING = ".staging-"


def check_output(out: Path) -> None:
    """Refuse, before any work is done, a folder with an earlier result or one that cannot be written; make it.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    """
    check_none_exists(out, (_TABLES, _FIGURES, _NOMOGRAMS, _PAGE, RESULT))
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe_folder(out)
    except OSError as error:
        raise unwritable(error) from error


def write_evaluation(
    report: Mapping[str, Any], out: Path, *, further: Mapping[str, bytes] | None = None
) -> tuple[Path, ...]:
    """Write page, tables, figures, nomograms and JSON: all of them or none.

    Parameters
    ----------
    report : mapping
        Of :func:`gastromap.evaluation.assemble.evaluate_table`.
    out : Path
        Results folder; see :func:`check_output`.
    further : mapping of bytes, optional
        Other files by name.

    Returns
    -------
    tuple of Path
        What now lies in the folder, ``evaluation.json`` last.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    """
    check_output(out)
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    files = {f"{_TABLES}/{name}.csv": csv_text(rows).encode() for name, rows in evaluation_tables(report).items()}
    for name, content in named_nomograms(report).items():
        files[f"{_NOMOGRAMS}/{name}.json"] = CombinedNomogram.from_json(content).text().encode()
    drawings: dict[str, bytes] = {}
    with house_style():
        for name, figure in evaluation_figures(report).items():
            drawings[name] = figure_bytes(figure, "svg")
            files[f"{_FIGURES}/{name}.svg"] = drawings[name]
            files[f"{_FIGURES}/{name}.png"] = figure_bytes(figure, "png")
    files |= dict(further or {}) | {_PAGE: render_page(report, drawings).encode(), RESULT: text.encode()}
    try:
        return _commit(out, files)
    except OSError as error:
        raise unwritable(error) from error


def _commit(out: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=out))
    renamed: list[Path] = []
    try:
        for name, content in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_bytes(content)
        tops = dict.fromkeys(Path(name).parts[0] for name in files)
        for name in sorted(tops, key=lambda top: top == RESULT):
            if os.path.lexists(out / name):
                raise FileExistsError(17, f"{name} appeared meanwhile")
            os.rename(staging / name, out / name)
            renamed.append(out / name)
    except BaseException:
        # Also when the process is told to stop: half a result could be taken for a whole one.
        for done in reversed(renamed):
            shutil.rmtree(done) if done.is_dir() else done.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return tuple(renamed)
