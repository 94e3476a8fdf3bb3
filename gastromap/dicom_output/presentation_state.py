"""Outline of the tumour on the key slice as a presentation state: drawn over the CT itself, switched off at will."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import ObjectContext, equipment_arguments, finish, object_arguments
from gastromap.dicom_output.evidence import located_slice
from gastromap.preprocessing.volume import SOFT_TISSUE_HU
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import KeySlice, Tumour
from gastromap.volume import CtVolume

__all__ = ["PRESENTATION_SERIES_NUMBER", "build_presentation_state", "outlines"]

PRESENTATION_SERIES_NUMBER = 9008
_WORDS = {"auto": "Outline by a model", "seg": "Outline of the segmentation sent"}


def build_presentation_state(tumour: Tumour, key: KeySlice, volume: CtVolume, context: ObjectContext) -> Dataset:
    """Build a greyscale presentation state of one slice, in the soft-tissue window.

    Parameters
    ----------
    tumour : Tumour
        Reaches the key slice.
    key : KeySlice
    volume : CtVolume
    context : ObjectContext
        Of the study of the volume.

    Returns
    -------
    Dataset
        Grayscale Softcopy Presentation State, finished.
    """
    from highdicom import ModalityLUTTransformation, pr

    slice_ = located_slice(volume, key.index)
    header = volume.sources[key.index].header
    low, high = SOFT_TISSUE_HU
    layer = pr.GraphicLayer("TUMOUR", order=1, description="Outline of the tumour")
    polygons = [
        pr.GraphicObject(graphic_type="POLYLINE", graphic_data=points, units="PIXEL")
        for points in outlines(tumour.mask[key.index])
    ]
    label = pr.TextObject(
        text_value=f"{_WORDS[tumour.origin]}, {RESEARCH_USE}",
        units="DISPLAY",
        bounding_box=(0.02, 0.94, 0.98, 0.99),
    )
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[slice_],
        **object_arguments(PRESENTATION_SERIES_NUMBER),
        **equipment_arguments(context),
        content_label="TUMOUR_OUTLINE",
        content_description=f"Tumour on the key slice, {RESEARCH_USE}",
        graphic_layers=[layer],
        graphic_annotations=[
            pr.GraphicAnnotation(
                referenced_images=[slice_], graphic_layer=layer, graphic_objects=polygons, text_objects=[label]
            )
        ],
        # Without it the stored values themselves would be windowed, not their Hounsfield units.
        modality_lut_transformation=ModalityLUTTransformation(
            rescale_intercept=float(header.get("RescaleIntercept") or 0.0),
            rescale_slope=float(header.get("RescaleSlope") or 1.0),
            rescale_type="HU",
        ),
        voi_lut_transformations=[
            pr.SoftcopyVOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)
        ],
    )
    return finish(state, context, description="tumour on key slice")


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Trace the borders of a mask.

    Parameters
    ----------
    mask : array of bool, shape (rows, columns)

    Returns
    -------
    list of array, shape (points, 2)
        Closed polylines (column, row) in PIXEL units of PS3.3 C.10.5: the top left corner of the first pixel is (0, 0),
        its middle (0.5, 0.5). Holes have lines of their own.
    """
    from contourpy import contour_generator

    padded = np.pad(mask.astype(np.float64), 1)
    # The padding moves everything by one pixel, the middle of a pixel lies half a pixel from its corner.
    return [np.asarray(line) - 0.5 for line in contour_generator(z=padded).lines(0.5)]
