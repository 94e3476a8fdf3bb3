"""The pictures of a report: key slice, plain and with the heat map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.drawing import as_png, draw_slice, plan_display, slice_lines
from gastromap.reports.phrases import heat_map_meaning, heat_map_method
from gastromap.results import StudyResult

__all__ = ["Pictures", "draw_pictures"]


@dataclass(frozen=True)
class Pictures:
    """The two pictures of a report, equal in size."""

    key_slice: NDArray[np.uint8] = field(repr=False)  #: shape (rows, columns, 3)
    grad_cam: NDArray[np.uint8] = field(repr=False)  #: shape (rows, columns, 3)
    orientation: tuple[str, str]  #: patient direction of rows and of columns

    def png(self, name: str) -> bytes:
        """Return ``key_slice`` or ``grad_cam`` as a PNG file."""
        return as_png(getattr(self, name))


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
