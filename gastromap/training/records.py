"""Run a network over the records of a datalist exactly as the application runs it over a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gastromap.models import GTRNet
from gastromap.preprocessing import PreparedSlice, SlicePreprocessing
from gastromap.preprocessing.transforms import RAS_TO_LPS

__all__ = ["RecordOutput", "run_records"]


@dataclass(frozen=True)
class RecordOutput:
    """Network outputs of one record; ``key`` is the position of the key slice."""

    patient_id: str
    label: int
    logits: NDArray[np.float32]  #: (slices, classes)
    features: NDArray[np.float32]  #: (slices, channels)
    maps: torch.Tensor  #: (slices, channels, h, w), of the second residual stage
    key: int
    prepared: PreparedSlice  #: of the key slice
    mask: NDArray[np.bool_] | None  #: tumour on the grid of the key slice, (rows, columns)


@torch.inference_mode()
def run_records(
    records: Sequence[Mapping[str, Any]],
    network: GTRNet,
    preprocess: SlicePreprocessing,
    *,
    device: torch.device,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[RecordOutput]:
    """Yield the outputs of each record: key slice (the middle of the stack) and its neighbours, if stored.

    Parameters
    ----------
    records : sequence of mapping
        Of :func:`gastromap.training.read_datalist`; images are NIfTI in HU of shape (columns, rows, slices).
    network : GTRNet
        In evaluation mode, on ``device``.
    preprocess : SlicePreprocessing
    device : torch.device
    progress : callable
        Called after each record.
    """
    import nibabel

    for record in records:
        image: Any = nibabel.load(record["image"])
        hu = np.atleast_3d(np.asarray(image.dataobj, np.float32))
        affine = RAS_TO_LPS @ np.asarray(image.affine, float)
        key = hu.shape[2] // 2
        indices = range(max(key - 1, 0), min(key + 2, hu.shape[2]))
        # NIfTI arrays are [column, row]; the preprocessing takes [row, column].
        prepared = [preprocess(hu[..., i].T, affine) for i in indices]
        maps = network.early_maps(torch.stack([p.tensor for p in prepared]).to(device))
        features = network.pool(network.late_maps(maps))
        mask = None
        if "mask" in record:
            stored: Any = nibabel.load(record["mask"])
            mask = np.atleast_3d(np.asarray(stored.dataobj))[..., key].T > 0
        yield RecordOutput(
            patient_id=str(record["patient_id"]),
            label=int(record["label"]),
            logits=network.fc(features).float().cpu().numpy(),
            features=features.float().cpu().numpy(),
            maps=maps.cpu(),
            key=indices.index(key),
            prepared=prepared[indices.index(key)],
            mask=mask,
        )
        progress()
