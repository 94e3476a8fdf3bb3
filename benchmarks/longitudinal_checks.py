"""``python -m benchmarks.longitudinal_checks``: do the maps of the longitudinal model follow what the model does?

On pairs of the test split of a datalist with masks:

- weights: the Grad-CAM of the trained network against that of one with random weights (Spearman over the cells; a map
  that does not care about the weights shows the image, not the model);
- tumour: how far the scores move when the tumour is filled with its surroundings, against the same volume filled at
  another place of the same scan;
- occlusion: cubes of 16 mm filled one by one, against the Grad-CAM of the same cells.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

from benchmarks.table import render
from gastromap.explain_3d import grad_cam_3d
from gastromap.longitudinal import LongitudinalBundle
from gastromap.models.longitudinal import LongitudinalNet
from gastromap.models.longitudinal.survival import os_risk
from gastromap.preprocessing.pair_transforms import pair_preprocessing
from gastromap.training.pair_datalist import read_pair_datalist

__all__ = ["filled", "main", "occlusion", "other_place"]

_TARGETS = ("lnm", "os_risk")
#: Draws of another place for the volume of a tumour.
_PLACES = 5
#: Voxels around what is filled, from which its filling is taken.
_AROUND = 6


@dataclass(frozen=True)
class _Model:
    network: LongitudinalNet
    breaks: tuple[float, ...]

    def scores(self, image: Tensor, masks: Tensor) -> dict[str, float]:
        """LNM logit and mean survival time with the sign of a risk, of one pair."""
        present = torch.ones(1, 2, dtype=torch.bool)
        with torch.inference_mode():
            logits = self.network(image[None], present, masks[None] if self.network.mask_channel else None)
        return {"lnm": float(logits[0, 0]), "os_risk": float(os_risk(logits[:, 1:], self.breaks)[0])}

    def maps(self, image: Tensor, masks: Tensor, target: Any) -> NDArray[np.float32]:
        present = torch.ones(1, 2, dtype=torch.bool)
        given = masks[None] if self.network.mask_channel else None
        breaks = self.breaks
        return grad_cam_3d(
            self.network, image[None], target=target, breaks_months=breaks, present=present, masks=given
        )[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.longitudinal_checks", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with datalist.json")
    parser.add_argument("--model", type=Path, default=Path("bundles"), metavar="DIR")
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument(
        "--occluded", type=int, default=3, help="patients with occlusion, 1,024 readings each: 4 to 15 minutes"
    )
    parser.add_argument("--cube", type=float, default=16.0, metavar="MM", help="side of the cubes (default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    given = parser.parse_args(argv)
    report = measure(
        given.model, given.data, patients=given.patients, occluded=given.occluded, cube_mm=given.cube, seed=given.seed
    )
    print(render("Maps of the longitudinal model", ["check", *_TARGETS], _rows(report)))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(models: Path, data: Path, *, patients: int, occluded: int, cube_mm: float, seed: int) -> dict[str, Any]:
    """All checks; see the module."""
    bundle = LongitudinalBundle.find(models)
    model = _Model(bundle.load_network(), bundle.constants.breaks_months)
    torch.manual_seed(seed)
    blank = _Model(bundle.card.build().eval(), bundle.constants.breaks_months)
    rng = np.random.default_rng(seed)
    profile = bundle.card.volume_profile()
    prepare = pair_preprocessing(profile)
    found: dict[str, dict[str, list[float]]] = {
        name: {target: [] for target in _TARGETS} for name in ("weights", "tumour", "elsewhere", "occlusion")
    }
    records = [r for r in read_pair_datalist(data)["test"] if {"image2", "mask1", "mask2"} <= r.keys()][:patients]
    for number, record in enumerate(tqdm(records, unit="patient", file=sys.stderr)):
        item: Any = prepare(dict(record))
        image, masks = torch.as_tensor(item["image"]), torch.as_tensor(item["masks"])
        plain = model.scores(image, masks)
        for target in _TARGETS:
            first, second = (m.maps(image, masks, target).ravel() for m in (model, blank))
            # A map without anything that speaks for the target has no ranks.
            if first.std() > 0 and second.std() > 0:
                found["weights"][target].append(float(spearmanr(first, second).statistic))
        tumour = masks > 0.5
        places = _places(tumour, rng)
        if places:
            moved = model.scores(filled(image, tumour), torch.where(tumour, 0.0, masks))
            others = [model.scores(filled(image, place), masks) for place in places]
            for target in _TARGETS:
                found["tumour"][target].append(abs(moved[target] - plain[target]))
                found["elsewhere"][target].append(float(np.mean([abs(o[target] - plain[target]) for o in others])))
        if number < occluded:
            cells = occlusion(model, image, masks, profile.spacing_mm, cube_mm)
            for target in _TARGETS:
                cam = _on_cells(model.maps(image, masks, target), cells[target].shape)
                found["occlusion"][target].append(float(spearmanr(cam.ravel(), cells[target].ravel()).statistic))
    return {"patients": len(records), "seed": seed, "cube_mm": cube_mm, **found}


def filled(image: Tensor, region: Tensor) -> Tensor:
    """Pair (2, D, H, W) with a region of each scan filled with the median of what lies within 6 voxels of it."""
    out = image.clone()
    for scan, part in enumerate(region):
        if not part.any():
            continue
        # Of the whole scan this pooling takes a second, and occlusion fills it two thousand times.
        where = part.nonzero()
        low, high = (where.min(0).values - _AROUND).clamp(min=0), where.max(0).values + _AROUND + 1
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        inside, side = part[box], 2 * _AROUND + 1
        grown = torch.nn.functional.max_pool3d(inside[None, None].float(), side, stride=1, padding=_AROUND)[0, 0] > 0
        out[scan][part] = image[scan][box][grown & ~inside].median()
    return out


def _places(tumour: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Other places for the tumours of a pair; none where a scan has no tumour, or one that leaves no room."""
    if not tumour.flatten(1).any(1).all():
        return []
    drawn = [other_place(tumour, rng) for _ in range(_PLACES)]
    return [place for place in drawn if place is not None]


def other_place(region: Tensor, rng: np.random.Generator) -> Tensor | None:
    """The same shapes (2, D, H, W) shifted to where they do not meet themselves; None where there is no room."""
    moved = torch.zeros_like(region)
    for scan, part in enumerate(region):
        where = part.nonzero()
        low, high = where.min(0).values, where.max(0).values
        for _ in range(200):
            room = np.array(part.shape) - (high - low).numpy()
            shift = torch.as_tensor(rng.integers(0, room)) - low
            index = where + shift
            if not part[tuple(index.T)].any():
                moved[scan][tuple(index.T)] = True
                break
        else:
            return None
    return moved


def occlusion(
    model: _Model, image: Tensor, masks: Tensor, spacing_mm: tuple[float, float, float], cube_mm: float
) -> dict[str, NDArray[np.float64]]:
    """Fall of each score when a cube is filled, (2, d, h, w): high where the model found what speaks for the target."""
    side = [round(cube_mm / step) for step in spacing_mm]
    grid = [n // s for n, s in zip(image.shape[1:], side, strict=True)]
    plain = model.scores(image, masks)
    cells = {target: np.zeros((2, *grid)) for target in _TARGETS}
    for scan, z, y, x in np.ndindex(2, *grid):
        region = torch.zeros_like(image, dtype=torch.bool)
        box = [slice(k * s, (k + 1) * s) for k, s in zip((z, y, x), side, strict=True)]
        region[scan, box[0], box[1], box[2]] = True
        moved = model.scores(filled(image, region), torch.where(region & (masks >= 0), 0.0, masks))
        for target in _TARGETS:
            cells[target][scan, z, y, x] = plain[target] - moved[target]
    return cells


def _on_cells(maps: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    pooled = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], size=shape[1:], mode="trilinear")
    return pooled[0].numpy()


def _rows(report: dict[str, Any]) -> list[list[str]]:
    def mean(name: str, target: str) -> str:
        values = report[name][target]
        return f"{np.mean(values):.3f}" if values else "-"

    def wins(target: str) -> str:
        pairs = list(zip(report["tumour"][target], report["elsewhere"][target], strict=True))
        return f"{sum(a > b for a, b in pairs)} of {len(pairs)}"

    return [
        ["Spearman with random weights", *(mean("weights", t) for t in _TARGETS)],
        ["score moved by filling the tumour", *(mean("tumour", t) for t in _TARGETS)],
        ["score moved by the same volume elsewhere", *(mean("elsewhere", t) for t in _TARGETS)],
        ["patients whose tumour moved it more", *(wins(t) for t in _TARGETS)],
        ["Spearman of occlusion and Grad-CAM", *(mean("occlusion", t) for t in _TARGETS)],
    ]


if __name__ == "__main__":
    sys.exit(main())
