"""The heat map as a Parametric Map: the values themselves, where the slice lies in the patient."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import ObjectContext, equipment_arguments, finish, object_arguments
from gastromap.dicom_output.codes import C, code
from gastromap.dicom_output.evidence import located_slice
from gastromap.reports.phrases import heat_map_meaning, sentence, stage_label
from gastromap.results import GradCamResult
from gastromap.volume import CtVolume

__all__ = ["MAP_SERIES_NUMBER", "build_parametric_map"]

MAP_SERIES_NUMBER = 9002


def build_parametric_map(grad_cam: GradCamResult, volume: CtVolume, context: ObjectContext) -> Dataset:
    """Build a map of float values, 0 to 1, on the grid of the slice it explains.

    Parameters
    ----------
    grad_cam : GradCamResult
    volume : CtVolume
        The volume it explains.
    context : ObjectContext
        Of the study of the volume.

    Returns
    -------
    Dataset
        Parametric Map Storage, finished; values in FloatPixelData.
    """
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    mapping = RealWorldValueMapping(
        lut_label=grad_cam.method[:16],
        lut_explanation=f"{grad_cam.method} of {grad_cam.layer}, share of the maximum"[:64],
        unit=code(C.NO_UNITS),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=code(C.GRADIENT_CLASS_ACTIVATION),
    )
    meaning = heat_map_meaning(stage_label(volume.role, grad_cam.stage))
    made = ParametricMap(
        source_images=[located_slice(volume, item.index) for item in grad_cam.slices],
        pixel_array=np.stack([item.heatmap for item in grad_cam.slices]).astype(np.float32),
        **object_arguments(MAP_SERIES_NUMBER),
        **equipment_arguments(context),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=0.5,
        window_width=1.0,
        content_label="HEAT_MAP",
        content_description=sentence(meaning)[:64],
    )
    return finish(made, context, description=f"{grad_cam.method} values")
