"""Coarse to fine: where the stomach and the tumour are at 4 mm, then the mask at 2 x 1 x 1 mm around the candidates."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from gastromap.bundle_folder import read_metadata
from gastromap.model_card import ModelCard
from gastromap.preprocessing.volume import PatientGrid, VolumeProfile, mask_centre, sample_ct, to_source
from gastromap.results import ModelIdentity
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.measures import TumourMeasures, largest_component, measure_tumour, slice_areas_mm2
from gastromap.staging import best_device

__all__ = [
    "COARSE_CARD",
    "COARSE_WEIGHTS",
    "FinderNetwork",
    "TumourFinder",
    "TumourFinding",
]

_log = logging.getLogger(__name__)

COARSE_CARD, COARSE_WEIGHTS = "coarse.json", "coarse.pt"


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
        Slice with the largest area of the mask.
    key_area_mm2 : float
        Its area.
    centre_lps : (x, y, z), optional
        Middle of the mask in mm: of the crop for the longitudinal model.
    stomach_ml : float
        Volume of what the coarse network takes for stomach.
    """

    reason: str
    probability: float
    mask: NDArray[np.bool_] = field(repr=False)
    measures: TumourMeasures | None = None
    key_index: int | None = None
    key_area_mm2: float = 0.0
    centre_lps: tuple[float, float, float] | None = None
    stomach_ml: float = 0.0

    @property
    def found(self) -> bool:
        """Whether there is a tumour to measure and to stage."""
        return not self.reason


@dataclass(frozen=True)
class _Candidate:
    centre_lps: tuple[float, float, float]
    weight: float  # sum of the coarse probabilities


@dataclass(frozen=True)
class FinderNetwork:
    """A network with the grid it reads."""

    network: nn.Module
    profile: VolumeProfile


class TumourFinder:
    """Find the tumour in whole volumes.

    Parameters
    ----------
    coarse : FinderNetwork
        Gives logits (1, 2, D, H, W) of the regions ``stomach`` and ``tumour``; sides are multiples of 8.
    fine : FinderNetwork
        Gives logits (1, 1, D, H, W) of the tumour.
    limits : FinderLimits, optional
    identity : ModelIdentity, optional
        For results.
    device : torch.device, optional
        Default: a CUDA GPU when there is one.
    """

    def __init__(
        self,
        coarse: FinderNetwork,
        fine: FinderNetwork,
        limits: FinderLimits | None = None,
        *,
        identity: ModelIdentity | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or best_device()
        self.limits = limits or FinderLimits()
        self.identity = identity
        self._coarse, self._coarse_profile = coarse.network.to(self.device).eval(), coarse.profile
        self._fine, self._fine_profile = fine.network.to(self.device).eval(), fine.profile
        _log.info("tumour segmentation on %s", self.device)

    @classmethod
    def load(cls, models: Path, *, device: torch.device | None = None) -> TumourFinder:
        """Read both networks from the ``models`` folder of a bundle.

        Raises
        ------
        ModelError
            If anything is missing, damaged or does not belong together.
        """
        metadata, _ = read_metadata(models.parent)
        fine, coarse = ModelCard.read(models), ModelCard.read(models, COARSE_CARD)
        identity = ModelIdentity(
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            network=f"{coarse.network['type']} and {fine.network['type']}",
            weights_sha256=fine.weights_sha256,
            preprocessing=str(fine.volume_profile()),
            trained_on=fine.trained_on,
            notice=fine.notice,
        )
        return cls(
            FinderNetwork(coarse.load_weights(models, COARSE_WEIGHTS), coarse.volume_profile()),
            FinderNetwork(fine.load_weights(models), fine.volume_profile()),
            FinderLimits.from_mapping(fine.training.get("limits", {})),
            identity=identity,
            device=device,
        )

    def __call__(self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]) -> TumourFinding:
        """Look for the tumour.

        Parameters
        ----------
        hu : array, shape (slices, rows, columns)
            Hounsfield units.
        affine_lps : array, shape (4, 4)
            (column, row, slice, 1) to mm.
        """
        affine = np.asarray(affine_lps, float)
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        empty = np.zeros(shape, np.bool_)
        candidates, stomach_ml = self._candidates(hu, affine)
        if stomach_ml < self.limits.stomach_ml:
            return TumourFinding("no stomach found", 0.0, empty, stomach_ml=stomach_ml)
        best = self._best(hu, affine, candidates)
        if best is None:
            return TumourFinding("no tumour found", 0.0, empty, stomach_ml=stomach_ml)
        probability, grid, values = best
        mask = to_source(values, grid, affine, shape) >= self.limits.threshold
        mask = largest_component(mask)
        voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        if mask.sum() * voxel_ml < self.limits.volume_ml or probability < self.limits.probability:
            return TumourFinding("no tumour found", probability, empty, stomach_ml=stomach_ml)
        return self._measured(hu, affine, mask, probability, stomach_ml)

    def _measured(
        self,
        hu: NDArray[np.floating],
        affine: NDArray[np.float64],
        mask: NDArray[np.bool_],
        probability: float,
        stomach_ml: float,
    ) -> TumourFinding:
        column, row, step = (float(value) for value in np.linalg.norm(affine[:3, :3], axis=0))
        spacing = (step, row, column)
        areas = slice_areas_mm2(mask, spacing)
        return TumourFinding(
            reason="",
            probability=probability,
            mask=mask,
            measures=measure_tumour(mask, spacing, hu),
            key_index=int(np.argmax(areas)),
            key_area_mm2=float(areas.max()),
            centre_lps=mask_centre(mask, affine),
            stomach_ml=stomach_ml,
        )

    def stomach_box(
        self, hu: NDArray[np.floating], affine_lps: NDArray[np.floating]
    ) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
        """Opposite corners (x, y, z) in mm of the box that holds the stomach, or None where none is found.

        Two in a hundred of its voxels may stick out on each side, so that a stray one does not matter.
        """
        grid, stomach, _ = self._overview(hu, np.asarray(affine_lps, float))
        inside = np.argwhere(stomach >= 0.5)
        if len(inside) * float(np.prod(grid.spacing_mm)) / 1000 < self.limits.stomach_ml:
            return None
        low, high = np.percentile(inside, [2, 98], axis=0)
        return grid.point(low), grid.point(high)

    @torch.inference_mode()
    def _overview(
        self, hu: NDArray[np.floating], affine: NDArray[np.float64]
    ) -> tuple[PatientGrid, NDArray[np.float32], NDArray[np.float32]]:
        """Coarse grid over the whole volume with the probabilities of stomach and tumour on it."""
        profile = self._coarse_profile
        shape = (hu.shape[0], hu.shape[1], hu.shape[2])
        grid = PatientGrid.covering(affine, shape, profile.spacing_mm, multiple=8)
        image = torch.from_numpy(sample_ct(hu, affine, grid, window_hu=profile.window_hu))[None, None]
        out = torch.sigmoid(self._coarse(image.to(self.device)).float())[0].cpu().numpy()
        return grid, out[profile.regions.index("stomach")], out[profile.regions.index("tumour")]

    def _candidates(self, hu: NDArray[np.floating], affine: NDArray[np.float64]) -> tuple[list[_Candidate], float]:
        """Places to look at closely, likeliest first, and the volume of the stomach in mL."""
        grid, stomach, tumour = self._overview(hu, affine)
        stomach_ml = float((stomach >= 0.5).sum() * np.prod(grid.spacing_mm) / 1000)
        labels, count = ndimage.label(tumour >= self.limits.coarse_threshold, structure=np.ones((3, 3, 3)))
        numbers = range(1, count + 1)
        middles, weights = ndimage.center_of_mass(tumour, labels, numbers), ndimage.sum_labels(tumour, labels, numbers)
        found = [_Candidate(grid.point(m), float(w)) for m, w in zip(middles, weights, strict=True)]
        found.sort(key=lambda candidate: -candidate.weight)
        return found[: self.limits.candidates], stomach_ml

    def _best(
        self, hu: NDArray[np.floating], affine: NDArray[np.float64], candidates: list[_Candidate]
    ) -> tuple[float, PatientGrid, NDArray[np.float32]] | None:
        """Mask with the largest sum of probabilities among the windows around the candidates."""
        best: tuple[float, float, PatientGrid, NDArray[np.float32]] | None = None
        seen: list[PatientGrid] = []
        for candidate in candidates:
            if any(_inside(candidate.centre_lps, grid, share=0.25) for grid in seen):
                continue
            grid, values, mask = self._look(hu, affine, candidate.centre_lps)
            if mask.any():
                # Again around what was found, so that a large tumour is not cut off by the window.
                grid, values, mask = self._look(hu, affine, mask_centre(mask, grid.affine_lps))
            seen.append(grid)
            weight = float(values[mask].sum())
            if mask.any() and (best is None or weight > best[0]):
                best = (
                    weight,
                    float(values[mask].mean()),
                    grid,
                    np.where(mask | (values < self.limits.threshold), values, 0),
                )
        return None if best is None else best[1:]

    @torch.inference_mode()
    def _look(
        self, hu: NDArray[np.floating], affine: NDArray[np.float64], centre_lps: tuple[float, float, float]
    ) -> tuple[PatientGrid, NDArray[np.float32], NDArray[np.bool_]]:
        """Window around a point, probabilities in it, and their largest part above the threshold."""
        profile = self._fine_profile
        grid = PatientGrid.around(centre_lps, profile.spacing_mm, self.limits.window)
        image = torch.from_numpy(sample_ct(hu, affine, grid, window_hu=profile.window_hu))[None, None]
        values: NDArray[np.float32] = torch.sigmoid(self._fine(image.to(self.device)).float())[0, 0].cpu().numpy()
        return grid, values, largest_component(values >= self.limits.threshold)


def _inside(point: tuple[float, float, float], grid: PatientGrid, *, share: float) -> bool:
    """Whether a point lies in the middle of a grid, ``share`` of each side around its centre."""
    middle = grid.point([(n - 1) / 2 for n in grid.shape])
    reach = np.asarray(grid.shape[::-1]) * np.asarray(grid.spacing_mm[::-1]) * share
    return bool(np.all(np.abs(np.asarray(point) - middle) <= reach))
