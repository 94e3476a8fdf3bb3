"""Source slices as the libraries want them: identity and geometry, no patient."""

from __future__ import annotations

from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import derived_uid, source_reference
from gastromap.volume import CtVolume

__all__ = ["described_slice", "located_slice"]


def described_slice(volume: CtVolume, index: int) -> Dataset:
    """Describe one source slice without patient data, so that a library can neither copy nor log any.

    Returns
    -------
    Dataset
        With ``Modality`` and geometry only where the source states its thickness: with a modality highdicom demands
        all of the geometry, and a missing thickness is not invented.
    """
    item = _identified(volume, index)
    if volume.series.thickness_mm:
        _locate(item, volume, index, thickness_mm=float(volume.series.thickness_mm))
    else:
        item.Modality = ""
    return item


def located_slice(volume: CtVolume, index: int) -> Dataset:
    """Describe one source slice with its place in the patient, for objects that lie on the same grid.

    Where the source does not state its thickness, the distance between slices stands for it; where it names no frame
    of reference, one made of the series stands for it, so that all objects on a series share it.
    """
    item = _identified(volume, index)
    _locate(item, volume, index, thickness_mm=float(volume.series.thickness_mm or volume.step_mm))
    if "FrameOfReferenceUID" not in item:
        item.FrameOfReferenceUID = derived_uid(f"gastromap frame of {volume.series.series_instance_uid}")
    return item


def _identified(volume: CtVolume, index: int) -> Dataset:
    header = volume.sources[index].header
    item = Dataset()
    item.SOPClassUID = source_reference(volume.sources[index]).ReferencedSOPClassUID
    item.SOPInstanceUID = volume.sources[index].sop_instance_uid
    item.StudyInstanceUID = header.StudyInstanceUID
    item.SeriesInstanceUID = volume.series.series_instance_uid
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(item, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"):
        setattr(item, keyword, "")
    if header.get("FrameOfReferenceUID"):
        item.FrameOfReferenceUID = header.FrameOfReferenceUID
        item.PositionReferenceIndicator = header.get("PositionReferenceIndicator") or ""
    item.Rows, item.Columns = (int(n) for n in volume.hu.shape[1:])
    return item


def _locate(item: Dataset, volume: CtVolume, index: int, *, thickness_mm: float) -> None:
    item.Modality = "CT"
    item.SamplesPerPixel = 1
    item.PhotometricInterpretation = "MONOCHROME2"
    item.SliceThickness = thickness_mm
    item.PixelSpacing = [round(float(spacing), 6) for spacing in volume.pixel_spacing_mm]
    position = volume.affine_lps @ [0.0, 0.0, float(index), 1.0]
    item.ImagePositionPatient = [round(float(mm), 4) for mm in position[:3]]
    axes = [volume.affine_lps[:3, column] for column in (0, 1)]
    cosines = [axis / (axis @ axis) ** 0.5 for axis in axes]
    item.ImageOrientationPatient = [round(float(cosine), 6) for axis in cosines for cosine in axis]
