"""The tumour that the segmentation model found, as a DICOM Segmentation on the grid of the CT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import (
    MANUFACTURER,
    ObjectContext,
    equipment_arguments,
    finish,
    new_uid,
    object_arguments,
)
from gastromap.dicom_output.codes import C, code
from gastromap.dicom_output.evidence import located_slice
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import Tumour
from gastromap.volume import CtVolume

__all__ = ["SEG_SERIES_NUMBER", "build_segmentation"]

SEG_SERIES_NUMBER = 9001
#: Orange in PCS values (PS3.3 C.10.7.1.1): seen on grey, and no colour of a vessel.
_COLOUR = [46260, 41891, 48830]


def build_segmentation(tumour: Tumour, volume: CtVolume, context: ObjectContext) -> Dataset:
    """Build a binary segmentation with one segment.

    Parameters
    ----------
    tumour : Tumour
        Found by a model: a segmentation that came with the study is not written again.
    volume : CtVolume
        Its volume.
    context : ObjectContext
        Of the study of the volume.

    Returns
    -------
    Dataset
        Segmentation Storage, finished; frames without tumour are left out.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription

    model = tumour.model
    assert model is not None  # noqa: S101 -- of every tumour that a model found
    # The equipment is the model that drew it, not the one that staged.
    context = replace(context, model=model)
    described = SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=code(C.MORPHOLOGICALLY_ABNORMAL),
        segmented_property_type=code(C.NEOPLASM_PRIMARY),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=context.encoding.own(model.name)[:64],
            version=context.encoding.own(model.version)[:64],
            family=code(C.ARTIFICIAL_INTELLIGENCE),
            source=MANUFACTURER,
            parameters={"weights sha256": model.weights_sha256},
        ),
        tracking_uid=new_uid(),
        tracking_id="T1 tumour",
        anatomic_regions=[code(C.STOMACH)],
    )
    described.RecommendedDisplayCIELabValue = list(_COLOUR)
    segmentation = Segmentation(
        source_images=[located_slice(volume, index) for index in range(len(volume.sources))],
        pixel_array=tumour.mask.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[described],
        **object_arguments(SEG_SERIES_NUMBER),
        **equipment_arguments(context),
        content_label="TUMOUR",
        content_description=f"Tumour outlined by a model, {RESEARCH_USE}",
    )
    segmentation.ContentQualification = "RESEARCH"
    return finish(segmentation, context, description="tumour outline")
