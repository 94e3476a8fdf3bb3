"""The results folder: all of a result or nothing.

Everything is made in memory first, then written to ``.staging-<run id>`` inside the output folder, flushed, read back
and checked, and only then renamed to the final names. ``result.json`` is renamed last and is the commit mark: a folder
without it holds no result. Nothing in a name comes from patient, UID or input path.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import ObjectContext, object_context
from gastromap.dicom_output.charset import quiet_pydicom
from gastromap.dicom_output.checks import check_object, check_probabilities, check_round_trip, check_sources
from gastromap.errors import GastromapError
from gastromap.files import check_none_exists, probe_folder, unwritable
from gastromap.reports.json_result import WrittenFile, encode_json
from gastromap.results import StudyResult

__all__ = ["OutputFolder", "prepare_output", "write_study"]

RESULT = "result.json"
DICOM = "dicom"
_FINAL = (DICOM, "report.html", "report.pdf", "key_slice.png", "grad_cam.png", RESULT)
_STAGING = ".staging-"


@dataclass(frozen=True)
class OutputFolder:
    """A results folder that was checked before the run.

    Attributes
    ----------
    path : Path
        The folder; it exists.
    created : tuple of Path
        Folders that :func:`prepare_output` made, outermost first.
    """

    path: Path
    created: tuple[Path, ...] = ()

    def discard(self) -> None:
        """Remove the folders that were made for this run, if they are empty: for a refusal or a fault."""
        for folder in reversed(self.created):
            try:
                folder.rmdir()
            except OSError:
                return


def prepare_output(path: Path) -> OutputFolder:
    """Check, before any work is done, that a result can be written to a folder; create it if it is missing.

    Parameters
    ----------
    path : Path
        The results folder.

    Returns
    -------
    folder : OutputFolder
        To be handed to :func:`write_study`, or discarded when the run ends without a result.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS`` if an earlier result lies in it, ``OUTPUT_UNWRITABLE`` if no file can be created.
    """
    created: list[Path] = []
    folder = OutputFolder(path)
    try:
        missing = [parent for parent in (path, *path.parents) if not os.path.lexists(parent)]
        for parent in reversed(missing):
            parent.mkdir()
            created.append(parent)
            folder = OutputFolder(path, tuple(created))
        if not path.is_dir():
            raise NotADirectoryError(20, "not a directory")
        check_none_exists(path, _FINAL)
        probe_folder(path)
        for stale in path.glob(f"{_STAGING}*"):
            shutil.rmtree(stale)
    except OSError as error:
        folder.discard()
        raise unwritable(error) from error
    return folder


def _inconsistent(expected: str, got: str) -> GastromapError:
    return GastromapError(
        "RESULT_INCONSISTENT",
        where="output",
        expected=expected,
        got=got,
        remedy="Nothing was kept; report this fault to the developers.",
    )


def _check_result(result: StudyResult) -> None:
    volume, key = result.volume, result.key_slice
    if len(volume.sources) != volume.hu.shape[0]:
        raise _inconsistent("one source a slice", f"{len(volume.sources)} for {volume.hu.shape[0]}")
    named = [(key.index, key.sop_instance_uid), *((part.index, part.sop_instance_uid) for part in result.stage.slices)]
    for index, uid in named:
        if not 0 <= index < len(volume.sources):
            raise _inconsistent("slice indices inside the volume", "one outside")
        if volume.sources[index].sop_instance_uid != uid:
            raise _inconsistent("slice UIDs that belong to their index", "another UID")
    if result.grad_cam.index != key.index or result.grad_cam.heatmap.shape != volume.hu.shape[1:]:
        raise _inconsistent("a heat map on the grid of the key slice", "another slice or shape")
    if not np.isfinite(result.grad_cam.heatmap).all():
        raise _inconsistent("a finite heat map", "NaN or infinity")
    shares = result.stage.probabilities
    if tuple(shares) != ("T1", "T2", "T3", "T4") or abs(sum(shares.values()) - 1.0) > 1e-6:
        raise _inconsistent("four probabilities with sum 1", f"{len(shares)} with another sum")
    if result.stage.stage not in shares or result.grad_cam.stage not in shares:
        raise _inconsistent("a stage from T1 to T4", "another one")


def _as_file(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)  # a character lost here is found on reading back
    return buffer.getvalue()


def _build(result: StudyResult, context: ObjectContext) -> tuple[list[WrittenFile], dict[str, Dataset]]:
    """Make every file in memory, and the DICOM objects by file name."""
    from gastromap.dicom_output.encapsulated_pdf import build_encapsulated_pdf
    from gastromap.dicom_output.secondary_capture import (
        KEY_SERIES_NUMBER,
        OVERLAY_SERIES_NUMBER,
        build_secondary_capture,
    )
    from gastromap.dicom_output.structured_report import build_structured_report
    from gastromap.reports.content import report_content
    from gastromap.reports.html import render_html
    from gastromap.reports.pdf import render_pdf
    from gastromap.reports.phrases import heat_map_meaning, heat_map_method, stage_label
    from gastromap.reports.pictures import draw_pictures

    source = result.volume.sources[result.key_slice.index]
    class_label = stage_label(result, result.grad_cam.stage)
    pictures = draw_pictures(result, class_label=class_label)
    key_png, overlay_png = pictures.png("key_slice"), pictures.png("grad_cam")
    content = report_content(result)
    pdf = render_pdf(content, pictures)
    objects = {
        f"{DICOM}/sr.dcm": build_structured_report(result, context),
        f"{DICOM}/key.dcm": build_secondary_capture(
            pictures.key_slice,
            context,
            source=source,
            series_number=KEY_SERIES_NUMBER,
            description="key slice",
            orientation=pictures.orientation,
        ),
        f"{DICOM}/overlay.dcm": build_secondary_capture(
            pictures.grad_cam,
            context,
            source=source,
            series_number=OVERLAY_SERIES_NUMBER,
            description=result.grad_cam.method,
            derivation=f"{heat_map_method(result.grad_cam)}: {heat_map_meaning(class_label)}",
            orientation=pictures.orientation,
        ),
        f"{DICOM}/report.dcm": build_encapsulated_pdf(pdf, context, source=source),
    }
    files = [
        WrittenFile("report.html", render_html(content, key_slice_png=key_png, grad_cam_png=overlay_png)),
        WrittenFile("report.pdf", pdf),
        WrittenFile("key_slice.png", key_png),
        WrittenFile("grad_cam.png", overlay_png),
        *(WrittenFile(name, _as_file(item), str(item.SOPInstanceUID)) for name, item in objects.items()),
    ]
    files.append(WrittenFile(RESULT, encode_json(result, files=tuple(files))))
    return files, objects


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_staged(staging: Path, files: list[WrittenFile], objects: dict[str, Dataset], context: ObjectContext) -> None:
    new_uids = {str(item.SOPInstanceUID) for item in objects.values()}
    for file in files:
        content = (staging / file.name).read_bytes()
        if content != file.content:
            raise _inconsistent("the file that was written", "another one")
        if file.name in objects:
            read = pydicom.dcmread(io.BytesIO(content))
            check_object(read, context, new_uids=new_uids)
            check_round_trip(objects[file.name], read)
    probabilities = json.loads((staging / RESULT).read_bytes())["stage"]["probabilities"]
    report = pydicom.dcmread(staging / DICOM / "sr.dcm")
    check_probabilities(report, probabilities)


def write_study(result: StudyResult, output: Path | OutputFolder) -> tuple[Path, ...]:
    """Write reports, DICOM objects and ``result.json``: all of them or none.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    output : Path or OutputFolder
        Results folder; with an :class:`OutputFolder`, folders made for this run are removed on failure.

    Returns
    -------
    files : tuple of Path
        The files written, ``result.json`` last.

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    GastromapError
        ``RESULT_…``: the result contradicts itself or its sources, a fault of the program.
    """
    folder = output if isinstance(output, OutputFolder) else prepare_output(output)
    try:
        _check_result(result)
        check_sources(result.volume.sources)
        context = object_context(result)
        with quiet_pydicom():
            files, objects = _build(result, context)
            _commit(folder.path, result.run.run_id, files, objects, context)
    except OSError as error:
        folder.discard()
        raise unwritable(error) from error
    except BaseException:
        folder.discard()
        raise
    return tuple(folder.path / file.name for file in files)


def _commit(
    path: Path, run_id: str, files: list[WrittenFile], objects: dict[str, Dataset], context: ObjectContext
) -> None:
    staging = path / f"{_STAGING}{re.sub(r'[^A-Za-z0-9_-]', '_', run_id)[:64]}"
    renamed: list[Path] = []
    try:
        (staging / DICOM).mkdir(parents=True)
        for file in files:
            _write(staging / file.name, file.content)
        _check_staged(staging, files, objects, context)
        _sync_folder(staging / DICOM)
        check_none_exists(path, _FINAL)
        for name in _FINAL:  # the DICOM folder first: of two runs at once, only one can rename it; result.json last
            os.rename(staging / name, path / name)
            renamed.append(path / name)
        _sync_folder(path)
    except BaseException:
        # Also when the process is told to stop: half a result could be taken for a whole one.
        for done in reversed(renamed):
            shutil.rmtree(done) if done.is_dir() else done.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
