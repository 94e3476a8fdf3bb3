"""The tumour of a synthetic study as a DICOM Segmentation, for tests of the key-slice reader and for demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gastromap import __version__
from gastromap.synthetic.dicom_headers import Study, da, make_uid, tm

__all__ = ["write_tumour_seg"]


def write_tumour_seg(
    headers: Sequence[Dataset], masks: NDArray[np.bool_], path: Path, study: Study, *, made: datetime
) -> None:
    """Write a binary segmentation with one segment, the primary tumour.

    Parameters
    ----------
    headers : sequence of Dataset
        Images of the segmented series, in the order of ``masks``.
    masks : array, shape (slices, rows, columns)
        Tumour; slices without tumour are left out of the object, but one where there is none at all: that it was
        looked for and not found is a finding too.
    path : Path
        File to write.
    study : Study
        Makes the UIDs.
    made : datetime
        Content date and time.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Gastric tumour (SYNTHETIC)",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="gastromap synthetic phantom", family=codes.DCM.ArtificialIntelligence, version=__version__
        ),
        tracking_uid=make_uid("tracking", *study.key),
        tracking_id="tumour",
        anatomic_regions=[codes.SCT.Stomach],
    )
    used = [index for index in range(len(headers)) if masks[index].any()] or [len(headers) // 2]
    seg = hd.seg.Segmentation(
        source_images=[headers[index] for index in used],
        pixel_array=masks[used].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=make_uid("series", *study.key, "seg"),
        series_number=900,
        sop_instance_uid=make_uid("image", *study.key, "seg", 1),
        instance_number=1,
        manufacturer="GastroMAP",
        manufacturer_model_name="SYNTHETIC phantom",
        software_versions=__version__,
        device_serial_number="SYN-SEG",
        content_label="TUMOUR",
        content_description="SYNTHETIC tumour mask",
        series_description="SYNTHETIC tumour segmentation",
        omit_empty_frames=bool(masks.any()),
    )
    # highdicom takes the wall clock and random UIDs; the same seed must give the same bytes.
    for keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
        if keyword in seg or keyword == "ContentDate":
            setattr(seg, keyword, da(made))
    for keyword in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
        if keyword in seg or keyword == "ContentTime":
            setattr(seg, keyword, tm(made))
    for item in seg.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = da(made) + tm(made)
    organisation = make_uid("dimensions", *study.key)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
