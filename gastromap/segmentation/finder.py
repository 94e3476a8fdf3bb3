"""Coarse to fine: where the stomach is at 4 mm, then the tumour at 2 x 1 x 1 mm along the whole of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from gastromap.bundle_folder import read_metadata
from gastromap.model_card import ModelCard
from gastromap.preprocessing.volume import PatientGrid, mask_centre, sample_ct, sample_mask, to_source
from gastromap.results import ModelIdentity
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.measures import TumourMeasures, largest_component, measure_tumour, slice_areas_mm2
from gastromap.segmentation.parts import MarkedPart, heaviest_part, is_sure, is_tumour
from gastromap.segmentation.stomach import COARSE_CARD, COARSE_WEIGHTS, FinderNetwork, Stomach, StomachReader
from gastromap.segmentation.wall_reader import WallReader
from gastromap.segmentation.weights import finder_limits, fine_card, load_fine, load_wall, shown_card
from gastromap.staging import best_device

__all__ = ["TumourFinder", "TumourFinding"]

_log = logging.getLogger(__name__)

#: Sides of the fine grid: the strides of the preset ``default``.
_MULTIPLES = (16, 32, 32)
#: Along the slices, a standard deviation. In 54 volumes with T2 to T4 (24 of the validation, 30 more of centre 3, seed
#: 921) the key slice lay within 5 mm of the true one in 80 % without, in 87 % with 4 mm and in 89 % with 8 mm.
_KEY_SMOOTHING_MM = 6.0
#: That are looked at together. For one alone PyTorch takes the slower of its convolutions on a CPU: 0.34 s a window on
#: two cores, in pairs or fours 0.22 s.
_WINDOWS = 4
#: Logit where there is nothing to look for.
_NOTHING = -20.0
_Point = tuple[float, float, float]


@dataclass(frozen=True)
class TumourFinding:
    """What was found in one volume.

    Attributes
    ----------
    reason : str
        Why nothing was found; empty where something was.
    probability : float
        Mean probability inside the mask, or the highest one where nothing was found; 0 to 1. Not calibrated.
    mask : array of bool, shape of the volume
        All false where nothing was found.
    measures : TumourMeasures, optional
    key_index : int, optional
        Slice with the largest area of the mask, areas smoothed along the slices: the outline is not sure to the voxel.
    key_area_mm2 : float
        Its area.
    centre_lps : (x, y, z), optional
        Middle of the mask in mm: of the crop for the longitudinal model.
    stomach_ml : float
        Volume of what the coarse network takes for stomach.
    sure : bool
        False where the wall network's word alone makes it a tumour: weak signs, which stomachs without a tumour often
        show too.
    """

    reason: str
    probability: float
    mask: NDArray[np.bool_] = field(repr=False)
    measures: TumourMeasures | None = None
    key_index: int | None = None
    key_area_mm2: float = 0.0
    centre_lps: tuple[float, float, float] | None = None
    stomach_ml: float = 0.0
    sure: bool = True

    @property
    def found(self) -> bool:
        """Whether there is a tumour to measure and to stage."""
        return not self.reason


class TumourFinder:
    """Find the tumour in whole volumes.

    Parameters
    ----------
    coarse : FinderNetwork
        Gives logits (1, regions, D, H, W), of which ``stomach`` (with the tumour) counts; sides are multiples of 8.
    fine : FinderNetwork
        Gives logits (1, 1, D, H, W) of the tumour.
    limits : FinderLimits, optional
    wall : nn.Module, optional
        Gives logits of the cells of a depth profile of the wall (:mod:`gastromap.models.wall`), which have a
        say in where the tumour is.
    device : torch.device, optional
        Default: a CUDA GPU when there is one.
    """

    def __init__(
        self,
        coarse: FinderNetwork,
        fine: FinderNetwork,
        limits: FinderLimits | None = None,
        *,
        wall: nn.Module | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or best_device()
        self._wall = None if wall is None else WallReader(wall, self.device)
        self.limits = limits or FinderLimits()
        self.identity: ModelIdentity | None = None  #: set for a published bundle
        self._stomach = StomachReader(coarse, self.device)
        self._fine, self._fine_profile = fine.network.to(self.device).eval(), fine.profile
        _log.info("tumour segmentation on %s", self.device)

    @classmethod
    def of_bundle(cls, folder: Path, *, device: torch.device | None = None) -> TumourFinder:
        """Read a published bundle: both networks, and what results say of them.

        Raises
        ------
        ModelError
            If anything is missing, damaged or does not belong together.
        """
        metadata, _ = read_metadata(folder)
        finder = cls.load(folder / "models", device=device)
        fine, coarse = shown_card(folder / "models"), ModelCard.read(folder / "models", COARSE_CARD)
        finder.identity = fine.identity(
            metadata,
            network=f"{coarse.network['type']} and {fine.network['type']}",
            preprocessing=str(fine.volume_profile()),
        )
        return finder

    @classmethod
    def load(cls, models: Path, *, device: torch.device | None = None) -> TumourFinder:
        """Read both networks from a folder of weights.

        Raises
        ------
        ModelError
            As of :meth:`of_bundle`.
        """
        fine, coarse = fine_card(models), ModelCard.read(models, COARSE_CARD)
        return cls(
            FinderNetwork(coarse.load_weights(models, COARSE_WEIGHTS), coarse.volume_profile()),
            FinderNetwork(load_fine(models), fine.volume_profile()),
            finder_limits(models),
            wall=load_wall(models),
            device=device,
        )

    def __call__(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> TumourFinding:
        """Look for the tumour.

        Parameters
        ----------
        hu, affine_lps
            As of :func:`gastromap.preprocessing.volume.sample_ct`.
        """
        affine = np.asarray(affine_lps, float)
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        empty = np.zeros(shape, np.bool_)
        stomach = self._stomach(hu, affine)
        stomach_ml = stomach.volume_ml
        if stomach_ml < self.limits.stomach_ml:
            return TumourFinding("no stomach found", 0.0, empty, stomach_ml=stomach_ml)
        grid, values = self._search(hu, affine, stomach)
        wall = self._by_wall(hu, affine, stomach, grid)
        limits = self.limits.for_step(float(np.linalg.norm(affine[:3, 2])))
        heaviest = heaviest_part(values, self._near(grid, stomach, limits.core_mm), limits, wall)
        if heaviest is None:
            return TumourFinding("no tumour found", float(values.max()), empty, stomach_ml=stomach_ml)
        mask = largest_component(to_source(heaviest.values, grid, affine, shape) >= self.limits.threshold)
        voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        if mask.sum() * voxel_ml < self.limits.volume_ml or not is_tumour(heaviest, self.limits):
            return TumourFinding("no tumour found", heaviest.probability, empty, stomach_ml=stomach_ml)
        return self._measured(hu, affine, mask, heaviest, stomach_ml)

    def _measured(
        self,
        hu: NDArray[np.floating],
        affine: NDArray[np.float64],
        mask: NDArray[np.bool_],
        part: MarkedPart,
        stomach_ml: float,
    ) -> TumourFinding:
        column, row, step = (float(value) for value in np.linalg.norm(affine[:3, :3], axis=0))
        spacing = (step, row, column)
        areas = slice_areas_mm2(mask, spacing)
        smoothed = ndimage.gaussian_filter1d(areas, _KEY_SMOOTHING_MM / step, mode="constant")
        key_index = int(np.argmax(np.where(areas > 0, smoothed, 0)))
        return TumourFinding(
            reason="",
            probability=part.probability,
            mask=mask,
            measures=measure_tumour(mask, spacing, hu),
            key_index=key_index,
            key_area_mm2=float(areas[key_index]),
            centre_lps=mask_centre(mask, affine),
            stomach_ml=stomach_ml,
            sure=is_sure(part, self.limits),
        )

    def stomach_box(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> tuple[_Point, _Point] | None:
        """Opposite corners (x, y, z) in mm of the box that holds the stomach, or None where none is found.

        Two in a hundred of its voxels may stick out on each side, so that a stray one does not matter.
        """
        stomach = self._stomach(hu, np.asarray(affine_lps, float))
        return None if stomach.volume_ml < self.limits.stomach_ml else stomach.box(beyond_percent=2.0)

    @torch.inference_mode()
    def _search(
        self, hu: NDArray[np.floating], affine: NDArray[np.float64], stomach: Stomach
    ) -> tuple[PatientGrid, NDArray[np.float32]]:
        """Probability of tumour on the fine grid over the stomach; 0 beyond the reach of its wall."""
        profile, limits = self._fine_profile, self.limits
        grid = PatientGrid.around_box(
            stomach.box(beyond_percent=0.0),
            profile.spacing_mm,
            margin_mm=limits.reach_mm,
            multiples=_MULTIPLES,
            least=limits.window,
        )
        near = self._near(grid, stomach, limits.reach_mm)
        image = sample_ct(hu, affine, grid, window_hu=profile.window_hu)
        both = torch.from_numpy(np.stack([image, near]))[None]
        logits = sliding_window_inference(
            both.to(self.device), limits.window, _WINDOWS, self._looked_at, overlap=limits.overlap, mode="gaussian"
        )
        assert isinstance(logits, torch.Tensor)  # noqa: S101 -- of one network with one output
        values: NDArray[np.float32] = torch.sigmoid(logits.float())[0, 0].cpu().numpy()
        return grid, values * near

    def _by_wall(
        self, hu: NDArray[np.floating], affine: NDArray[np.float64], stomach: Stomach, grid: PatientGrid
    ) -> NDArray[np.float32] | None:
        """Logits of the wall network on the fine grid; None where it has no say."""
        if self._wall is None or not self.limits.wall_weight:
            return None
        return self._wall(hu, affine, stomach.mask, stomach.grid, grid)

    def _looked_at(self, windows: torch.Tensor) -> torch.Tensor:
        """Logits of windows (n, image and what counts, D, H, W); low ones, at no cost, where nothing counts."""
        image, counts = windows[:, :1], windows[:, 1:].flatten(1).any(dim=1)
        out = torch.full_like(image, _NOTHING)
        if counts.any():
            out[counts] = self._fine(image[counts])
        return out

    @staticmethod
    def _near(grid: PatientGrid, stomach: Stomach, reach_mm: float) -> NDArray[np.bool_]:
        """Voxels of the fine grid up to so far from the stomach."""
        near: NDArray[np.bool_] = sample_mask(stomach.within(reach_mm), stomach.grid.affine_lps, grid) >= 0.5
        return near
