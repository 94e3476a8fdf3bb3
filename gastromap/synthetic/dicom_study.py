"""Write one synthetic examination as the DICOM study a PACS would send.

Localizer, arterial, portal-venous and delayed axial series, thin lung-kernel series, coronal reformat and dose page,
optionally with a tumour segmentation object. Pixels come from ``dicom_series``, attributes from ``dicom_headers``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gastromap.synthetic.dicom_habits import habits_of
from gastromap.synthetic.dicom_headers import Study, add_contrast, ct_header, dose_header, plan_study
from gastromap.synthetic.dicom_series import (
    AxialSeries,
    axial_series,
    coronal_images,
    dose_page,
    localizer_image,
    render_axial,
)
from gastromap.synthetic.export_scan import Scan
from gastromap.synthetic.processes import map_in_processes
from gastromap.synthetic.types import Case, Scanner

__all__ = ["StudyRecord", "clinical_variables", "write_clinical_json", "write_study"]

_AXIAL_IOP: Final = ["1", "0", "0", "0", "1", "0"]
_CORONAL_IOP: Final = ["1", "0", "0", "0", "0", "-1"]
_RECONSTRUCTION_DELAY: Final = timedelta(seconds=25)
_PER_IMAGE: Final = timedelta(milliseconds=110)


@dataclass(frozen=True)
class StudyRecord:
    """What was written, for tables and tests."""

    study_instance_uid: str
    portal_series_uid: str
    key_sop_instance_uid: str  #: portal slice with the largest tumour area
    key_z_mm: float
    files: int


def clinical_variables(case: Case) -> dict[str, float | str]:
    """Variables of the nomogram, in the names and units of the application's clinical file."""
    return {
        "tumour_size_cm": case.size_cm,
        "differentiation": case.differentiation,
        "lauren": case.lauren,
    }


def write_clinical_json(case: Case, path: Path) -> None:
    """Write the clinical file that the application takes beside a study."""
    path.write_text(json.dumps(clinical_variables(case), indent=2) + "\n", encoding="utf-8")


def write_study(scan: Scan, folder: Path, *, days: int = 0, with_seg: bool = False, workers: int = 1) -> StudyRecord:
    """Write every object of an examination.

    Parameters
    ----------
    scan : Scan
        The examination, from :func:`gastromap.synthetic.export_scan.plan_scan`.
    folder : Path
        Made if absent. One folder a series (``S003``), one file an image (``I0001.dcm``).
    days : int
        Days between the patient's first examination and this one.
    with_seg : bool
        Add a binary tumour segmentation of the portal-venous series.
    workers : int
        Processes that render; the bytes do not depend on it.

    Returns
    -------
    record : StudyRecord
    """
    study = plan_study(scan, days=days)
    plans = axial_series(study)
    writer = _Writer(study, folder)
    jobs = [(writer, plan, index) for plan in plans for index in range(len(plan.z_mm))]
    written = [pair for pair in _run(jobs, workers) if pair is not None]
    headers = [header for header, _ in written]
    portal = np.stack([image for _, image in written])
    y_mm, coronal = coronal_images(scan, portal)
    last = max(plan.acquired for plan in plans)
    writer.localizer(localizer_image(scan, portal))
    writer.coronal(next(plan for plan in plans if plan.key == "portal"), y_mm, coronal)
    writer.dose(last + timedelta(seconds=90))
    if with_seg:
        from gastromap.synthetic.dicom_seg import write_tumour_seg

        path = folder / "S900" / "I0001.dcm"
        write_tumour_seg(headers, scan.tumour_masks(), path, study, made=last + timedelta(minutes=30))
    key = scan.key_index
    return StudyRecord(
        study_instance_uid=study.uid,
        portal_series_uid=str(headers[0].SeriesInstanceUID),
        key_sop_instance_uid=str(headers[key].SOPInstanceUID),
        key_z_mm=float(scan.z_mm[key]),
        files=len(jobs) + len(coronal) + 2 + int(with_seg),
    )


#: Header without pixels, and the pixels; kept of the portal-venous series alone.
_Portal = tuple[Dataset, NDArray[np.int16]] | None


def _run(jobs: list[tuple[_Writer, AxialSeries, int]], workers: int) -> Iterator[_Portal]:
    if workers == 1:
        yield from map(_write_axial, jobs)
        return
    yield from map_in_processes(_write_axial, jobs, workers=workers, chunk=4)


def _write_axial(job: tuple[_Writer, AxialSeries, int]) -> _Portal:
    writer, plan, index = job
    return writer.axial(plan, index)


class _Writer:
    """Puts geometry and pixels into headers and saves them."""

    def __init__(self, study: Study, folder: Path) -> None:
        self._study = study
        self._habits = habits_of(study.scan.case.centre)
        self._folder = folder

    def axial(self, plan: AxialSeries, index: int) -> _Portal:
        image = render_axial(self._study.scan, plan, index)
        z = plan.z_mm[index]
        origin = self._study.scan.affine_lps()[:3, 3]
        # Scanners number from the head downwards, our slices rise to the head.
        instance = len(plan.z_mm) - index
        header = self._ct(plan.key, instance, plan.acquired, plan.scanner, mm=plan.scanner.slice_thickness_mm)
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.AcquisitionNumber = str(plan.acquisition)
        header.SpiralPitchFactor = 0.828
        add_contrast(header, self._study)
        self._place(header, position=(origin[0], origin[1], z), orientation=_AXIAL_IOP, location=z)
        self._window(header, (-600, 1500) if plan.key == "lung" else (50, 350))
        self._save(header, image)
        if plan.key != "portal":
            return None
        # The segmentation needs headers only; half a megabyte of pixels a slice stays in one copy.
        del header.PixelData
        return header, image

    def localizer(self, image: NDArray[np.int16]) -> None:
        scan = self._study.scan
        header = self._ct("localizer", 1, self._study.start, scan.scanner, mm=None)
        header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        header.AcquisitionNumber = "1"
        header.ConvolutionKernel = "SCOUT"
        corner = (scan.affine_lps()[0, 3], 0.0, scan.z_mm[-1])
        self._place(header, position=corner, orientation=_CORONAL_IOP, location=0.0)
        self._window(header, (300, 1500))
        self._save(header, image)

    def coronal(self, portal: AxialSeries, y_mm: NDArray[np.float64], images: NDArray[np.int16]) -> None:
        scan = self._study.scan
        for instance, (y, image) in enumerate(zip(y_mm, images, strict=True), start=1):
            header = self._ct("coronal", instance, portal.acquired, scan.scanner, mm=3.0)
            # PS3.3 C.8.2.1.1.1 knows only AXIAL and LOCALIZER as third value; the orientation tells the plane.
            header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
            header.AcquisitionNumber = str(portal.acquisition)
            add_contrast(header, self._study)
            corner = (scan.affine_lps()[0, 3], float(y), scan.z_mm[-1])
            self._place(header, position=corner, orientation=_CORONAL_IOP, location=float(y))
            self._window(header, (50, 350))
            self._save(header, image)

    def dose(self, made: datetime) -> None:
        header = dose_header(self._study, series="dose", made=made)
        self._identify(header, "dose", mm=None)
        page = dose_page(
            (
                "SYNTHETIC - not a patient",
                "Dose information",
                "Series       CTDIvol   DLP",
                "Localizer      0.1      3",
                "Arterial      10.2    215",
                "Portal        10.2    215",
                "Delayed       10.2    215",
            )
        )
        header.Rows, header.Columns = page.shape[:2]
        self._write(header, page.tobytes(), vr="OB")

    def _ct(self, series: str, instance: int, acquired: datetime, scanner: Scanner, *, mm: float | None) -> Dataset:
        made = acquired + _RECONSTRUCTION_DELAY + instance * _PER_IMAGE
        header = ct_header(self._study, series=series, instance=instance, acquired=acquired, made=made)
        header.ConvolutionKernel = scanner.kernel
        header.SliceThickness = f"{mm:g}" if mm is not None else ""
        self._identify(header, series, mm=mm)
        return header

    def _identify(self, header: Dataset, series: str, *, mm: float | None) -> None:
        header.SeriesNumber = str(self._habits.series_numbers[series])
        text = self._habits.descriptions[series]
        if text:
            header.SeriesDescription = text.format(mm=f"{mm:.1f}" if mm is not None else "")

    def _place(
        self, header: Dataset, *, position: tuple[float, float, float], orientation: list[str], location: float
    ) -> None:
        spacing = f"{self._study.scan.grid.spacing_mm:.6f}".rstrip("0").rstrip(".")
        header.ImagePositionPatient = [f"{value:.6g}" if value == 0 else f"{value:.4f}" for value in position]
        header.ImageOrientationPatient = list(orientation)
        header.PixelSpacing = [spacing, spacing]
        header.SliceLocation = f"{location:.2f}"

    @staticmethod
    def _window(header: Dataset, level_width: tuple[int, int]) -> None:
        header.WindowCenter, header.WindowWidth = (str(value) for value in level_width)

    def _save(self, header: Dataset, hu: NDArray[np.int16]) -> None:
        header.Rows, header.Columns = hu.shape
        header.BitsAllocated = 16
        if self._habits.signed:
            header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 15, 1
            intercept, stored = 0, hu
        else:
            header.BitsStored, header.HighBit, header.PixelRepresentation = 12, 11, 0
            intercept, stored = -1024, np.clip(hu, -1024, 3071) + 1024
        header.RescaleIntercept, header.RescaleSlope = str(intercept), "1"
        # A localizer holds no Hounsfield units (PS3.3 C.8.2.1); without the attribute nothing is claimed.
        if "LOCALIZER" not in header.ImageType:
            header.RescaleType = "HU"
        self._write(header, stored.astype("<i2").tobytes(), vr="OW")

    def _write(self, header: Dataset, pixels: bytes, *, vr: str) -> None:
        header.add_new("PixelData", vr, pixels)
        folder = self._folder / f"S{int(header.SeriesNumber):03d}"
        folder.mkdir(parents=True, exist_ok=True)
        header.save_as(folder / f"I{int(header.InstanceNumber):04d}.dcm", enforce_file_format=True)
