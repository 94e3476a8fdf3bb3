"""Pictures of the CT after treatment, and where the longitudinal model looked in both examinations.

The maps are drawn at the voxels of each scan, cut to what the model read of it. They show where the model looked and
prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.drawing import draw_slice, draw_tile, plan_display, slice_lines
from gastromap.reports.phrases import heat_map_meaning, heat_map_method, stage_label
from gastromap.reports.shown_slice import shown_index
from gastromap.results import StudyResult
from gastromap.volume import CtVolume

if TYPE_CHECKING:
    from gastromap.explain_3d import CoAttentionMaps
    from gastromap.longitudinal.visual import LongitudinalMaps
    from gastromap.preprocessing.volume import PatientGrid

__all__ = ["ComparisonPictures", "MapName", "MapPair", "draw_comparison"]

#: Which map, in the order of the report.
MapName = Literal["lnm", "os_risk", "pooling", "co_attention"]

#: Smaller than this, a crop shows no anatomy.
_SMALLEST_PIXELS: Final = 8
_Picture = NDArray[np.uint8]
_Map = NDArray[np.float32]


@dataclass(frozen=True)
class MapPair:
    """One map on both scans."""

    name: MapName
    before: _Picture = field(repr=False)
    after: _Picture = field(repr=False)
    spread: float | None = None  #: of the attention, 0 at one place to 1 everywhere alike


@dataclass(frozen=True)
class ComparisonPictures:
    """Pictures of a pair; arrays (rows, columns, 3)."""

    before: _Picture = field(repr=False)  #: key slice before treatment
    after: _Picture = field(repr=False)  #: key slice after treatment, or the slice where the tumour was
    overlay: _Picture | None = field(repr=False)  #: heat map after treatment
    orientation: tuple[str, str]  #: of the pictures after treatment
    maps: tuple[MapPair, ...]


@dataclass(frozen=True)
class _Window:
    """Part of one slice that the longitudinal model read, as a volume of one slice."""

    volume: CtVolume
    grid: PatientGrid
    scan: Literal[0, 1]

    def heat(self, maps: LongitudinalMaps, values: _Map) -> _Map:
        rows, columns = self.volume.hu.shape[1:]
        return maps.on_source(values, self.scan, self.volume.affine_lps, (1, rows, columns))[0]

    def place(self, point_lps: tuple[float, float, float]) -> tuple[float, float]:
        column, row, _, _ = np.linalg.inv(self.volume.affine_lps) @ [*point_lps, 1.0]
        return float(row), float(column)


def draw_comparison(result: StudyResult) -> ComparisonPictures | None:
    """Draw what a comparison adds; None where there is none.

    Parameters
    ----------
    result : StudyResult
    """
    comparison = result.comparison
    if comparison is None:
        return None
    volume, index = comparison.followup.volume, shown_index(comparison.followup)
    overlay = None
    if comparison.grad_cam is not None:
        label = stage_label(volume.role, comparison.grad_cam.stage)
        lines = (heat_map_method(comparison.grad_cam), heat_map_meaning(label))
        overlay = draw_slice(volume, index, lines, heat=comparison.grad_cam.heatmap)
    plan = plan_display(volume)
    return ComparisonPictures(
        before=draw_slice(result.volume, result.key_slice.index, slice_lines(result.volume, result.key_slice.index)),
        after=draw_slice(volume, index, slice_lines(volume, index)),
        overlay=overlay,
        orientation=(plan.right, plan.down),
        maps=_map_pairs(result, index),
    )


def _map_pairs(result: StudyResult, index_after: int) -> tuple[MapPair, ...]:
    comparison = result.comparison
    maps = None if comparison is None or comparison.outlook is None else comparison.outlook.maps
    if comparison is None or maps is None:
        return ()
    before = _window(result.volume, result.key_slice.index, maps.grids[0], 0)
    after = _window(comparison.followup.volume, index_after, maps.grids[1], 1)
    if before is None or after is None:
        return ()

    def pair(name: MapName, first: _Map, second: _Map) -> MapPair:
        return MapPair(
            name,
            draw_tile(before.volume, 0, heat=before.heat(maps, first)),
            draw_tile(after.volume, 0, heat=after.heat(maps, second)),
        )

    drawn = [pair("lnm", maps.lnm[0], maps.lnm[1]), pair("os_risk", maps.os_risk[0], maps.os_risk[1])]
    attention = maps.co_attention
    if attention is not None:
        weights = attention.pooling[0]
        drawn.append(pair("pooling", _scaled(weights[0]), _scaled(weights[1])))
        if result.tumour is not None:
            drawn.append(_from_tumour(result.tumour.centre_lps, attention, maps, before, after))
    return tuple(drawn)


def _from_tumour(
    centre_lps: tuple[float, float, float],
    attention: CoAttentionMaps,
    maps: LongitudinalMaps,
    before: _Window,
    after: _Window,
) -> MapPair:
    """Where the middle of the tumour before treatment looks in the scan after it."""
    cells = attention.first_to_second.shape[1:4]
    column, row, slice_, _ = np.linalg.inv(before.grid.affine_lps) @ [*centre_lps, 1.0]
    voxel = np.array([slice_, row, column])
    # Cells cover the crop from edge to edge, and voxel 0 reaches from -0.5 to 0.5.
    cell = np.floor((voxel + 0.5) * cells / before.grid.shape).astype(int)
    d, h, w = np.clip(cell, 0, np.array(cells) - 1)
    seen = _scaled(attention.first_to_second[0, d, h, w])
    return MapPair(
        "co_attention",
        draw_tile(before.volume, 0, mark=before.place(centre_lps)),
        draw_tile(after.volume, 0, heat=after.heat(maps, seen)),
        spread=float(attention.entropy[0, 0, d, h, w]),
    )


def _scaled(values: _Map) -> _Map:
    """Shares of a scan as parts of the largest one: for shares that are all alike, 1 everywhere."""
    return np.asarray(values / max(float(values.max()), 1e-12), dtype=np.float32)


def _window(volume: CtVolume, index: int, grid: PatientGrid | None, scan: Literal[0, 1]) -> _Window | None:
    if grid is None:
        return None
    ends = [(-0.5, side - 0.5) for side in grid.shape[::-1]]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    on_source = np.linalg.inv(volume.affine_lps) @ grid.affine_lps
    places = corners @ on_source[:3, :3].T + on_source[:3, 3]
    rows, columns = volume.hu.shape[1:]
    low = np.clip(np.floor(places.min(axis=0)[:2]), 0, [columns, rows]).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)[:2]) + 1, 0, [columns, rows]).astype(int)
    if (high - low).min() < _SMALLEST_PIXELS:
        return None
    shift = np.eye(4)
    shift[:3, 3] = low[0], low[1], index
    part = replace(
        volume,
        hu=volume.hu[index : index + 1, low[1] : high[1], low[0] : high[0]],
        affine_lps=volume.affine_lps @ shift,
        sources=volume.sources[index : index + 1],
    )
    return _Window(part, grid, scan)
