"""Small CT series for the gate: every builder makes a sound series, tests break what matters to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.8.498.77."


def uid(*parts: object) -> str:
    """The same parts give the same UID, so that two builds of a series are equal."""
    return generate_uid(prefix=ROOT, entropy_srcs=[str(part) for part in parts])


@dataclass
class Series:
    """Data sets in the order of z, to be changed and written."""

    slices: list[Dataset] = field(default_factory=list)
    syntax: str = ExplicitVRLittleEndian

    def set(self, **values: object) -> Series:
        for item in self.slices:
            for keyword, value in values.items():
                setattr(item, keyword, value)
        return self

    def remove(self, *keywords: str) -> Series:
        for item in self.slices:
            for keyword in keywords:
                if keyword in item:
                    delattr(item, keyword)
        return self

    def each(self, change: Callable[[int, Dataset], None]) -> Series:
        for index, item in enumerate(self.slices):
            change(index, item)
        return self

    def drop(self, *indices: int) -> Series:
        gone = {index % len(self.slices) for index in indices}
        self.slices = [item for index, item in enumerate(self.slices) if index not in gone]
        return self

    def write(self, folder: Path, prefix: str = "image") -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for index, item in enumerate(self.slices):
            path = folder / f"{prefix}{index:03d}.dcm"
            write_dataset(item, path, syntax=self.syntax)
            paths.append(path)
        return paths


def write_dataset(item: Dataset, path: Path, *, syntax: str = ExplicitVRLittleEndian) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = item.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = item.get("SOPInstanceUID", "1.2.3")
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(
        str(path), item, file_meta=meta, preamble=b"\0" * 128, is_little_endian=syntax != "1.2.840.10008.1.2.2"
    )
    dataset.save_as(path, enforce_file_format=True)


def pattern(index: int, rows: int, columns: int, *, seed: int = 0) -> np.ndarray:
    """Stored values with air outside and a ramp inside, different in every slice and voxel row."""
    grid = np.add.outer(np.arange(rows) * 3, np.arange(columns)) % 200
    values = 1000 + grid + 7 * (index % 40) + 11 * seed
    values[: rows // 4] = 24
    return values.astype("<u2")


def make_series(
    slices: int = 20,
    *,
    step_mm: float = 5.0,
    size: tuple[int, int] = (64, 64),
    gap_after: int | None = None,
    name: str = "portal",
    study: str = "study",
    number: int = 2,
    description: str = "Abdomen portal venous",
    acquisition: int = 1,
    time: str = "120110",
    bolus: str = "120000",
    first_instance: int = 1,
    z_mm: float = -400.0,
    seed: int = 0,
    **values: object,
) -> Series:
    """A portal-venous series that passes the gate: text and timing (70 s) vote for it."""
    result = []
    for index in range(slices):
        item = Dataset()
        item.SOPClassUID = CT
        item.SOPInstanceUID = uid(study, name, acquisition, index)
        item.SeriesInstanceUID, item.StudyInstanceUID = uid(study, name), uid(study)
        item.FrameOfReferenceUID = uid(study, "frame")
        item.Modality, item.SeriesNumber, item.InstanceNumber = "CT", number, first_instance + index
        item.PatientID, item.PatientName, item.PatientBirthDate, item.PatientSex = "P1", "Doe^Jane", "19600101", "F"
        item.StudyDate, item.StudyTime = "20250101", "120000"
        item.AcquisitionDate, item.AcquisitionTime, item.AcquisitionNumber = "20250101", time, acquisition
        item.ContentDate, item.ContentTime = "20250101", time
        item.ContrastBolusAgent, item.ContrastBolusStartTime = "Iohexol", bolus
        item.SeriesDescription, item.ProtocolName = description, "Abdomen"
        item.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        item.ConvolutionKernel, item.SliceThickness = "B30f", step_mm
        shift = step_mm if gap_after is not None and index > gap_after else 0.0
        item.ImagePositionPatient = [-25.0, -30.0, round(z_mm + index * step_mm + shift, 4)]
        item.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        item.PixelSpacing = [0.78125, 0.78125]
        item.Rows, item.Columns = size
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 1, -1024, "HU"
        item.PixelData = pattern(index, *size, seed=seed).tobytes()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        result.append(item)
    return Series(result)


def mixed(*series: Series) -> Series:
    """Put all images under the series of the first."""
    target = series[0].slices[0].SeriesInstanceUID
    number = series[0].slices[0].SeriesNumber
    slices: list[Dataset] = []
    for part in series:
        part.set(SeriesInstanceUID=target, SeriesNumber=number)
        slices.extend(part.slices)
    return Series(slices)


def rename_randomly(paths: Iterable[Path], *, seed: int) -> None:
    """Give the files new names without a suffix, so that their order changes."""
    generator = np.random.default_rng(seed)
    for path in paths:
        path.rename(path.with_name(f"{generator.integers(1 << 60):x}"))
