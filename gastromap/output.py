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

import pydicom

from gastromap.dicom_output.charset import quiet_pydicom
from gastromap.dicom_output.checks import check_object, check_probabilities, check_round_trip, check_sources
from gastromap.files import check_none_exists, probe_folder, unwritable
from gastromap.output_checks import check_result, inconsistent
from gastromap.output_files import DICOM, FINAL_NAMES, REPORT_OBJECT, RESULT, BuiltFiles, build_files
from gastromap.reports.catalogue import Language
from gastromap.results import StudyResult

__all__ = ["OutputFolder", "prepare_output", "write_study"]

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
        check_none_exists(path, FINAL_NAMES)
        probe_folder(path)
        for stale in path.glob(f"{_STAGING}*"):
            shutil.rmtree(stale)
    except OSError as error:
        folder.discard()
        raise unwritable(error) from error
    return folder


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


def _check_staged(staging: Path, built: BuiltFiles) -> None:
    new_uids = {str(item.SOPInstanceUID) for item, _ in built.objects.values()}
    for file in built.files:
        content = (staging / file.name).read_bytes()
        if content != file.content:
            raise inconsistent("the file that was written", "another one")
        if file.name in built.objects:
            item, context = built.objects[file.name]
            read = pydicom.dcmread(io.BytesIO(content))
            check_object(read, context, new_uids=new_uids)
            check_round_trip(item, read)
    document = json.loads((staging / RESULT).read_bytes())
    check_probabilities(pydicom.dcmread(staging / REPORT_OBJECT), document)


def write_study(result: StudyResult, output: Path | OutputFolder, *, language: Language = "en") -> tuple[Path, ...]:
    """Write reports, DICOM objects and ``result.json``: all of them or none.

    Parameters
    ----------
    result : StudyResult
        What the run found.
    output : Path or OutputFolder
        Results folder; with an :class:`OutputFolder`, folders made for this run are removed on failure.
    language : {"en", "zh"}
        Of the PDF, and shown first by the HTML report, which holds all languages.

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
        check_result(result)
        later = () if result.comparison is None else (result.comparison.followup.volume.sources,)
        check_sources(result.volume.sources, *later)
        with quiet_pydicom():
            # Outside of what may be the folder's fault: a template that cannot be read is not.
            built = build_files(result, language=language)
            try:
                _commit(folder.path, result.run.run_id, built)
            except OSError as error:
                raise unwritable(error) from error
    except BaseException:
        folder.discard()
        raise
    return tuple(folder.path / file.name for file in built.files)


def _commit(path: Path, run_id: str, built: BuiltFiles) -> None:
    staging = path / f"{_STAGING}{re.sub(r'[^A-Za-z0-9_-]', '_', run_id)[:64]}"
    renamed: list[Path] = []
    try:
        (staging / DICOM).mkdir(parents=True)
        for file in built.files:
            _write(staging / file.name, file.content)
        _check_staged(staging, built)
        _sync_folder(staging / DICOM)
        check_none_exists(path, FINAL_NAMES)
        for name in built.names:
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
