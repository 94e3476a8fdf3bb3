"""DICOM objects that mark a tumour in a series of the series builder: SEG, RTSTRUCT, key object."""

from __future__ import annotations

import numpy as np
from dicom_input.series_builder import uid
from pydicom.dataset import Dataset


def _object(sop_class: str, modality: str, **values: object) -> Dataset:
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID, item.Modality = sop_class, uid(sop_class, sorted(values)), modality
    item.StudyInstanceUID, item.SeriesInstanceUID = uid("study"), uid("study", modality)
    item.PatientID, item.PatientName, item.PatientBirthDate, item.PatientSex = "P1", "Doe^Jane", "19600101", "F"
    item.FrameOfReferenceUID = uid("study", "frame")
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def item_with(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def make_seg(
    masks: dict[float, np.ndarray],
    *,
    label: str = "Tumor",
    spacing: tuple[float, float] = (0.78125, 0.78125),
    by_reference: dict[float, str] | None = None,
    **values: object,
) -> Dataset:
    """A BINARY SEG with one frame for each z; the bits of the frames follow each other without padding."""
    rows, columns = next(iter(masks.values())).shape
    frames = []
    for z in masks:
        frame = Dataset()
        frame.SegmentIdentificationSequence = [item_with(ReferencedSegmentNumber=1)]
        frame.PlanePositionSequence = [item_with(ImagePositionPatient=[-25.0, -30.0, z])]
        if by_reference:
            source = item_with(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=by_reference[z])
            frame.DerivationImageSequence = [item_with(SourceImageSequence=[source])]
        frames.append(frame)
    shared = Dataset()
    shared.PixelMeasuresSequence = [item_with(PixelSpacing=list(spacing))]
    shared.PlaneOrientationSequence = [item_with(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    segment = item_with(SegmentNumber=1, SegmentLabel=label)
    bits = np.packbits(np.concatenate([mask.ravel() for mask in masks.values()]), bitorder="little").tobytes()
    return _object(
        "1.2.840.10008.5.1.4.1.1.66.4",
        "SEG",
        **{
            "SegmentationType": "BINARY",
            "SegmentSequence": [segment],
            "NumberOfFrames": len(masks),
            "Rows": rows,
            "Columns": columns,
            "BitsAllocated": 1,
            "BitsStored": 1,
            "HighBit": 0,
            "SamplesPerPixel": 1,
            "PixelRepresentation": 0,
            "PhotometricInterpretation": "MONOCHROME2",
            "SharedFunctionalGroupsSequence": [shared],
            "PerFrameFunctionalGroupsSequence": frames,
            "PixelData": bits + bytes(len(bits) % 2),
            **values,
        },
    )


def square(side: int, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[10 : 10 + side, 5 : 5 + side] = 1
    return mask


def make_rtstruct(squares: dict[float, float], *, name: str = "GTV", kind: str = "GTV") -> Dataset:
    contours = []
    for z, side in squares.items():
        corners = [(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]
        data = [value for x, y in corners for value in (x, y, z)]
        contours.append(item_with(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4, ContourData=data))
    roi = item_with(ROINumber=1, ROIName=name, ReferencedFrameOfReferenceUID=uid("study", "frame"))
    return _object(
        "1.2.840.10008.5.1.4.1.1.481.3",
        "RTSTRUCT",
        StructureSetROISequence=[roi],
        RTROIObservationsSequence=[item_with(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType=kind)],
        ROIContourSequence=[item_with(ReferencedROINumber=1, ContourSequence=contours)],
    )


def make_kos(*uids: str, title: str = "113000", **values: object) -> Dataset:
    items = [
        item_with(ReferencedSOPSequence=[item_with(ReferencedSOPInstanceUID=value)], ValueType="IMAGE")
        for value in uids
    ]
    concept = item_with(CodeValue=title, CodingSchemeDesignator="DCM", CodeMeaning="Of Interest")
    return _object(
        "1.2.840.10008.5.1.4.1.1.88.59",
        "KO",
        ConceptNameCodeSequence=[concept],
        ContentSequence=[item_with(ValueType="CONTAINER", ContentSequence=items)],
        **values,
    )


def slice_uid(index: int) -> str:
    return uid("study", "portal", 1, index)
