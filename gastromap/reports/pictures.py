"""The pictures of a report: key slice, plain and with the heat map, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.drawing import as_png, draw_slice, draw_tile, plan_display, slice_lines
from gastromap.reports.phrases import heat_map_meaning, heat_map_method
from gastromap.reports.viewer_data import neighbour_indices
from gastromap.results import GradCamResult, StudyResult
from gastromap.text import Text
from gastromap.volume import CtVolume

__all__ = ["Pictures", "draw_heat_maps", "draw_neighbours", "draw_pictures"]


@dataclass(frozen=True)
class Pictures:
    """The two pictures of a report, equal in size."""

    key_slice: NDArray[np.uint8] = field(repr=False)  #: shape (rows, columns, 3)
    grad_cam: NDArray[np.uint8] = field(repr=False)  #: shape (rows, columns, 3)
    orientation: tuple[str, str]  #: patient direction of rows and of columns

    def png(self, name: str) -> bytes:
        """Return ``key_slice`` or ``grad_cam`` as a PNG file."""
        return as_png(getattr(self, name))


def draw_neighbours(result: StudyResult) -> tuple[tuple[str, NDArray[np.uint8]], ...]:
    """Draw the slices beside the key slice, each with its caption, from the feet upwards."""
    volume, key = result.volume, result.key_slice
    drawn: list[tuple[str, NDArray[np.uint8]]] = []
    for index in neighbour_indices(volume, key.index):
        number = volume.index_from_feet(index)
        distance = f"{abs(number - key.index_from_feet) * volume.step_mm:.1f}"
        if number < key.index_from_feet:
            drawn.append((Text("{mm} mm below the key slice", mm=distance), draw_tile(volume, index)))
        elif number > key.index_from_feet:
            drawn.append((Text("{mm} mm above the key slice", mm=distance), draw_tile(volume, index)))
    return tuple(drawn)


def draw_heat_maps(volume: CtVolume, grad_cam: GradCamResult, *, class_label: str) -> list[NDArray[np.uint8]]:
    """Draw the heat maps of all slices that have one, each on its slice, equal in size; order of ``grad_cam.slices``.

    Parameters
    ----------
    volume : CtVolume
        That was staged.
    grad_cam : GradCamResult
    class_label : str
        Class that the maps explain, for example ``cT3``.
    """
    meaning = f"{grad_cam.method} of {class_label}, not a lesion outline"
    drawn = []
    for item in grad_cam.slices:
        key = ", key slice" if item.index == grad_cam.index else ""
        lines = (f"{slice_lines(volume, item.index)[0]}{key}", meaning)
        drawn.append(draw_slice(volume, item.index, lines, heat=item.heatmap))
    return drawn


def draw_pictures(result: StudyResult, *, class_label: str) -> Pictures:
    """Draw the key slice and the heat map on it.

    Parameters
    ----------
    result : StudyResult
        Key slice, volume and heat map.
    class_label : str
        Class that the heat map explains, for example ``cT3``.

    Returns
    -------
    pictures : Pictures
        RGB, with orientation letters, scale bar and research-use line burnt in; no patient data.
    """
    volume, index = result.volume, result.key_slice.index
    plan = plan_display(volume)
    return Pictures(
        key_slice=draw_slice(volume, index, slice_lines(volume, index)),
        grad_cam=draw_slice(
            volume,
            index,
            (heat_map_method(result.grad_cam), heat_map_meaning(class_label)),
            heat=result.grad_cam.heatmap,
        ),
        orientation=(plan.right, plan.down),
    )
