"""Read the scans of one patient in a process of its own and write them as NIfTI; it may die of a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from gastromap.cohort.pair_images import MaskRule, PairScan, dicom_scan, hashed, is_nifti, nifti_scan
from gastromap.cohort.study import serve
from gastromap.dicom_input import DicomFolder, GateSettings, load_folder, study_roles
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.patient import patient_identity
from gastromap.errors import Refusal
from gastromap.nifti import write_nifti

__all__ = ["PairJob", "read_pair", "work"]

#: An image without a longer side was cut round the tumour already (longitudinal design, section 8).
_LARGEST_CROP_MM = 160.0


@dataclass(frozen=True)
class PairJob:
    """The scans of a patient.

    Attributes
    ----------
    patient : str
        Pseudonym.
    paths : mapping
        ``image1``, ``mask1``, ``image2``, ``mask2`` as far as the table names them, or ``study``.
    series, centres : mapping of int
        By date, as the table has them.
    target : str
        Folder for ``1.nii.gz``, ``1_mask.nii.gz`` …
    """

    patient: str
    paths: dict[str, str]
    target: str
    settings: GateSettings
    label_key: bytes
    series: dict[int, str] = field(default_factory=dict)
    centres: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    rule: MaskRule = field(default_factory=MaskRule)
    axes: str | None = None


def read_pair(job: PairJob) -> dict[str, Any]:
    """Read the scans and write images and masks.

    Parameters
    ----------
    job : PairJob

    Returns
    -------
    result : dict
        ``status`` ``ready``; ``files``: key of the datalist to name below ``target``; ``pixels``: hashes by date;
        ``notes``: codes with the date; ``moments`` and ``series_uids`` of DICOM.

    Raises
    ------
    GastromapError
        A refusal of the gate, the file or the pair.
    """
    result: dict[str, Any] = {
        "status": "ready", "files": {}, "pixels": {}, "masks": {}, "notes": [], "moments": {}, "series_uids": {},
    }  # fmt: skip
    identities = set()
    for number, source in _sources(job):
        scan = _scan(job, number, source)
        if isinstance(source, DicomFolder):
            identities.add(_patient_id(source))
        result["pixels"][str(number)] = hashed(scan.hu)
        if len(set(result["pixels"].values())) < len(result["pixels"]):
            raise Refusal(
                "FOLLOWUP_IS_COPY",
                where="image2",
                expected="the scan after treatment",
                got="the voxels of image1",
                remedy="Give the second scan, or leave its cell empty.",
            )
        result["notes"] += [(code, number) for code in (*scan.notes, *_place(job, number, scan))]
        for key, text in (("moments", scan.moment.strip()), ("series_uids", scan.series_uid)):
            if text:
                result[key][str(number)] = text
        _write(job, number, scan, result)
    if len(set(result["masks"].values())) < len(result["masks"]) and "0" not in result["masks"].values():
        result["notes"].append(("MASKS_EQUAL", 2))
    result["masks"] = {}
    if len(identities - {""}) > 1:
        result["notes"].append(("SCANS_OF_TWO_IDENTIFIERS", 2))
    return result


def _sources(job: PairJob) -> list[tuple[int, Path | DicomFolder]]:
    """What each scan is read from; folders are parsed once."""
    if "study" in job.paths:
        folder = _folder(job, Path(job.paths["study"]))
        roles = study_roles(folder) if folder.images else {}
        return [(1, folder), (2, folder)] if "followup" in roles.values() else [(1, folder)]
    found: list[tuple[int, Path | DicomFolder]] = []
    for number in (1, 2):
        if f"image{number}" in job.paths:
            path = Path(job.paths[f"image{number}"])
            found.append((number, _folder(job, path) if path.is_dir() else path))
    return found


def _folder(job: PairJob, path: Path) -> DicomFolder:
    return load_folder(path, settings=job.settings, label_key=job.label_key)


def _patient_id(folder: DicomFolder) -> str:
    with quiet_pydicom():
        identifiers = (patient_identity(image.header).patient_id for image in folder.images)
        first = next(filter(None, identifiers), "")
    return hashlib.sha256(first.encode()).hexdigest() if first else ""


def _scan(job: PairJob, number: int, source: Path | DicomFolder) -> PairScan:
    mask = job.paths.get(f"mask{number}")
    mask_path = None if mask is None else Path(mask)
    if isinstance(source, DicomFolder):
        return dicom_scan(
            source,
            mask_path,
            number=number,
            role="followup" if number == 2 and "study" in job.paths else "baseline",
            series_uid=job.series.get(number, ""),
            settings=job.settings,
        )
    if not is_nifti(source):
        raise Refusal(
            "IMAGE_FORMAT",
            where=f"image{number}",
            expected="a NIfTI file or a folder with a DICOM study",
            got="another file",
            remedy="Convert it to NIfTI.",
        )
    return nifti_scan(source, mask_path, number=number, rule=job.rule, axes=job.axes)


def _place(job: PairJob, number: int, scan: PairScan) -> list[str]:
    """Codes of what is odd about where the tumour is; a centre outside the image is refused."""
    notes = []
    if scan.mask is not None and not scan.mask.any():
        notes.append("MASK_EMPTY")
    if number in job.centres:
        index = np.linalg.solve(scan.affine_lps, [*job.centres[number], 1.0])[2::-1]
        if not ((index >= -0.5) & (index <= np.array(scan.hu.shape) - 0.5)).all():
            raise Refusal(
                "CENTRE_OUTSIDE",
                where=f"image{number}",
                expected="a centre inside the image, x, y, z in mm of the patient (LPS)",
                got="one outside",
                remedy="Of a tool that counts in RAS, as NIfTI does, change the signs of x and y.",
            )
    elif scan.mask is None or not scan.mask.any():
        sides = np.linalg.norm(scan.affine_lps[:3, :3], axis=0)[::-1] * scan.hu.shape
        if sides.max() > _LARGEST_CROP_MM:
            notes.append("NO_CENTRE")
    return notes


def _write(job: PairJob, number: int, scan: PairScan, result: dict[str, Any]) -> None:
    target = Path(job.target)
    write_nifti(scan.hu, scan.affine_lps, target / f"{number}.nii.gz", description=b"GastroMAP CT, HU")
    result["files"][f"image{number}"] = f"{number}.nii.gz"
    if scan.mask is not None:
        write_nifti(scan.mask, scan.affine_lps, target / f"{number}_mask.nii.gz", description=b"GastroMAP tumour mask")
        result["files"][f"mask{number}"] = f"{number}_mask.nii.gz"
        result["masks"][str(number)] = hashed(scan.mask) if scan.mask.any() else "0"


def work(job: PairJob, connection: Connection) -> None:
    """Run a job in this process and send its result; the target of a :class:`multiprocessing.Process`."""
    serve(connection, lambda: read_pair(job), settings=job.settings)
