"""What the slice viewer of the page needs: Hounsfield units of a few slices, the heat map, how to turn and colour them.

Pixels travel as PNG files, because every browser reads them and nothing else packs a slice as small. A check sum goes
with each: browsers that blur canvases against fingerprinting give other values back, and then the page keeps its
static pictures.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gastromap.reports import drawing
from gastromap.reports.catalogue import LANGUAGES, Language, say
from gastromap.reports.drawing import as_png, plan_display
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import GradCamResult, KeySlice, StudyResult
from gastromap.text import Text
from gastromap.volume import CtVolume

__all__ = ["NEIGHBOURS", "PRESETS", "neighbour_indices", "packed_hu", "viewer_data", "viewers_of"]

#: Slices shown on either side of the key slice, where there are any.
NEIGHBOURS: Final = 2
#: Added to Hounsfield units before they are packed; CT holds nothing below -1024.
_OFFSET: Final = 1024
#: Denser than that is patient or table, the rest is air.
_AIR_HU: Final = -400.0
#: A box around the body is cut out where it saves at least this part of the slice.
_WORTH: Final = 0.15
_MARGIN: Final = 4

#: Window level and width in HU, the one of the static pictures first.
PRESETS: Final = (
    (Text("Soft tissue"), drawing.WINDOW_LEVEL, drawing.WINDOW_WIDTH),
    (Text("Abdomen"), 40.0, 400.0),
    (Text("Narrow"), 60.0, 160.0),
    (Text("Wide"), 20.0, 800.0),
)


def neighbour_indices(volume: CtVolume, key: int) -> tuple[int, ...]:
    """Return the key slice and its neighbours as indices into the volume, from the feet upwards."""
    found = range(max(key - NEIGHBOURS, 0), min(key + NEIGHBOURS, len(volume.hu) - 1) + 1)
    return tuple(sorted(found, key=volume.index_from_feet))


def packed_hu(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pack Hounsfield units into colours: HU + 1024 = 256 * red + green; blue is 0.

    Parameters
    ----------
    hu : array, shape (rows, columns)
        Rounded to whole HU; values beyond -1024 and 64511 are cut.

    Returns
    -------
    array, shape (rows, columns, 3)
    """
    values = np.clip(np.rint(hu) + _OFFSET, 0, 65535).astype(np.uint16)
    return np.stack([values >> 8, values & 255, np.zeros_like(values)], axis=-1).astype(np.uint8)


def _body(slices: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Rows and columns (first, one past the last) around everything denser than air; all where cutting saves little."""
    rows, columns = slices.shape[1:]
    dense: NDArray[np.bool_] = np.any(slices > _AIR_HU, axis=0)
    down, across = np.flatnonzero(dense.any(axis=1)), np.flatnonzero(dense.any(axis=0))
    if down.size == 0:
        return 0, rows, 0, columns
    top, bottom = max(int(down[0]) - _MARGIN, 0), min(int(down[-1]) + 1 + _MARGIN, rows)
    left, right = max(int(across[0]) - _MARGIN, 0), min(int(across[-1]) + 1 + _MARGIN, columns)
    if (bottom - top) * (right - left) > (1 - _WORTH) * rows * columns:
        return 0, rows, 0, columns
    return top, bottom, left, right


def _url(pixels: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(as_png(pixels)).decode("ascii")


def _texts(language: Language) -> dict[str, str]:
    """Templates that the script fills; the names in braces stay."""
    texts = {
        "notice": Text("GastroMAP: {notice}", notice=RESEARCH_USE),
        "slice": Text("Slice {number} from the feet, z {z} mm", number="{number}", z="{z}"),
        "key": Text("key slice"),
        "above": Text("{mm} mm above the key slice", mm="{mm}"),
        "below": Text("{mm} mm below the key slice", mm="{mm}"),
        "window": Text("window {level}/{width} HU", level="{level}", width="{width}"),
        "heat": Text("heat map {share} %", share="{share}"),
        "elsewhere": Text("heat map on the key slice only"),
    }
    return {name: say(text, language) for name, text in texts.items()}


def viewer_data(volume: CtVolume, key_slice: KeySlice, grad_cam: GradCamResult) -> dict[str, Any]:
    """Return everything a viewer needs, fit for JSON; no patient data.

    Parameters
    ----------
    volume : CtVolume
        That was staged.
    key_slice : KeySlice
    grad_cam : GradCamResult
        Heat map of the key slice.
    """
    plan = plan_display(volume)
    indices = neighbour_indices(volume, key_slice.index)
    top, bottom, left, right = _body(volume.hu[list(indices)])
    slices = []
    for index in indices:
        packed = packed_hu(volume.hu[index, top:bottom, left:right])
        z = float((volume.affine_lps @ [0.0, 0.0, float(index), 1.0])[2])
        slices.append(
            {
                "png": _url(packed),
                "sum": int(packed[..., 0].astype(np.int64).sum() * 256 + packed[..., 1].astype(np.int64).sum()),
                "number": volume.index_from_feet(index),
                "z": f"{z:.1f}".replace("-", "−"),
                "offset": volume.index_from_feet(index) - key_slice.index_from_feet,
                "distance": f"{abs(index - key_slice.index) * volume.step_mm:.1f}",
            }
        )
    heat = np.rint(np.clip(grad_cam.heatmap, 0.0, 1.0) * 255.0).astype(np.uint8)
    return {
        "slices": slices,
        "heat": _url(heat[top:bottom, left:right]),
        "box": [top, bottom, left, right],
        "shape": list(volume.hu.shape[1:]),
        "size": list(plan.size),
        "turn": [plan.transpose, plan.flip_rows, plan.flip_columns],
        "letters": {
            "left": drawing.OPPOSITE[plan.right],
            "right": plan.right,
            "top": drawing.OPPOSITE[plan.down],
            "bottom": plan.down,
        },
        "bar": {"mm": drawing.scale_bar_mm(plan), "pixels": drawing.scale_bar_mm(plan) / plan.mm_per_pixel},
        "window": [drawing.WINDOW_LEVEL, drawing.WINDOW_WIDTH],
        "colours": [list(colour) for colour in drawing.HEAT_COLOURS],
        "onset": list(drawing.HEAT_ONSET),
        "texts": {language: _texts(language) for language in LANGUAGES},
    }


def viewers_of(result: StudyResult) -> dict[str, dict[str, Any]]:
    """Viewer ``before`` of the staged examination and, where the follow-up was staged too, ``after``."""
    found = {"before": viewer_data(result.volume, result.key_slice, result.grad_cam)}
    comparison = result.comparison
    if comparison is not None and comparison.grad_cam is not None and comparison.followup.key_slice is not None:
        found["after"] = viewer_data(comparison.followup.volume, comparison.followup.key_slice, comparison.grad_cam)
    return found
