"""Read one study in a process of its own: headers, the request of the table, pixels, key slice, image file.

This module is what a worker process runs. It is told where the study lies and asks its parent, which knows the table,
what is wanted of the patient it found. It answers with plain JSON, so that nothing a damaged file does here can reach
the parent as an object. It may die of a file; the parent goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from gastromap.cohort.files import read_nifti, read_png
from gastromap.cohort.stack import KeyStack, key_stack
from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.patient import patient_identity
from gastromap.dicom_input.process_limits import limit_memory
from gastromap.errors import GastromapError
from gastromap.key_slice import find_key_slice
from gastromap.nifti import write_nifti

__all__ = ["InputKind", "Request", "StudyJob", "read_study", "serve", "work"]

InputKind = Literal["dicom", "nifti", "png"]
#: What the table wants of a patient: ``series`` and ``key_slice``, empty where it is silent; None for no row.
Request = Mapping[str, str] | None
_BYTES_PER_VOXEL = 8


@dataclass(frozen=True)
class StudyJob:
    """A study to be read."""

    study: str  #: name without patient data
    path: str
    kind: InputKind
    target: str  #: ``.nii.gz`` to be written
    settings: GateSettings
    label_key: bytes
    slices: int = 3
    png_spacing_mm: float | None = None
    png_window: tuple[float, float] = (50.0, 350.0)


def read_study(job: StudyJob, ask: Callable[[str], Request]) -> dict[str, Any]:
    """Read a study and write its image.

    Parameters
    ----------
    job : StudyJob
    ask : callable
        From the PatientID of the images (empty for files without one) to the request.

    Returns
    -------
    result : dict
        ``status`` is ``ready`` or ``no row``; of a study that is ready also ``pixels`` (a hash of the image),
        ``complete``, ``warnings``, and for DICOM ``series_uid``, ``key_slice_uid``, ``key_slice_origin``, ``moment``.

    Raises
    ------
    GastromapError
        A refusal of the gate, the key slice or the file.
    """
    if job.kind == "dicom":
        return _read_dicom(job, ask)
    request = ask("")
    if request is None:
        return {"status": "no row"}
    path = Path(job.path)
    if job.kind == "nifti":
        stack = read_nifti(path, key_slice=request["key_slice"], count=job.slices)
    else:
        stack = read_png(
            path, spacing_mm=job.png_spacing_mm, window=job.png_window, most_pixels=job.settings.max_matrix
        )
    return {**_written(stack, job), "warnings": []}


def _read_dicom(job: StudyJob, ask: Callable[[str], Request]) -> dict[str, Any]:
    folder = load_folder(Path(job.path), settings=job.settings, label_key=job.label_key)
    with quiet_pydicom():
        identifiers = (patient_identity(image.header).patient_id for image in folder.images)
        request = ask(next(filter(None, identifiers), ""))
    if request is None:
        return {"status": "no row"}
    selected = select_series(folder, settings=job.settings, series_uid=request["series"] or None)
    volume = build_volume(selected, settings=job.settings)
    key = find_key_slice(folder, volume, requested=request["key_slice"] or None)
    stack = key_stack(volume.hu, volume.affine_lps, key.index, count=job.slices)
    header = volume.sources[key.index].header
    with quiet_pydicom():
        moment = f"{header.get('StudyDate') or ''} {header.get('StudyTime') or ''}"
    return {
        **_written(stack, job),
        "warnings": list(volume.warnings),
        "series_uid": volume.series.series_instance_uid,
        "key_slice_uid": key.sop_instance_uid,
        "key_slice_origin": key.origin,
        "moment": moment,
    }


def _written(stack: KeyStack, job: StudyJob) -> dict[str, Any]:
    pixels = hashlib.sha256(repr(stack.hu.shape).encode() + stack.hu.astype("<i2").tobytes()).hexdigest()
    write_nifti(stack.hu, stack.affine_lps, Path(job.target), description=b"GastroMAP key slice, HU")
    return {"status": "ready", "pixels": pixels, "complete": stack.complete}


def work(job: StudyJob, connection: Connection) -> None:
    """Run a job in this process and send its result; the target of a :class:`multiprocessing.Process`.

    Parameters
    ----------
    job : StudyJob
    connection : Connection
        Gets ``{"patient_id": …}``, is asked for the request, and gets ``{"result": …}``; bytes of JSON only.
    """

    def ask(patient_id: str) -> Request:
        connection.send_bytes(json.dumps({"patient_id": patient_id}).encode())
        answer: Request = json.loads(connection.recv_bytes())
        return answer

    serve(connection, lambda: read_study(job, ask), settings=job.settings)


def serve(connection: Connection, read: Callable[[], dict[str, Any]], *, settings: GateSettings) -> None:
    """Read something in a process that may die of it, and send the result as bytes of JSON.

    Parameters
    ----------
    connection : Connection
        Gets ``{"result": …}`` with the ``status`` that ``read`` gives, ``refused`` or ``failed``.
    read : callable
    settings : GateSettings
        Limits of memory.
    """
    # Ctrl-C goes to the parent, which ends its workers; a trace here could quote a path or a header.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit_memory(settings.parse_bytes + _BYTES_PER_VOXEL * settings.max_voxels)
    try:
        result = read()
    except GastromapError as error:
        result = {"status": "refused", "code": error.code, "message": str(error)}
    except MemoryError:
        result = {"status": "failed", "message": "not enough memory"}
    connection.send_bytes(json.dumps({"result": result}).encode())
