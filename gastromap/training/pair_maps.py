"""Training with the lower encoder frozen: the maps of stage 3 are computed once for some random views of every scan.

Stages 1 to 3 take most of the time of a step and are trained by the segmentation already; what is left (stage 4,
co-attention, heads) learns from the stored maps in minutes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, Randomizable
from torch import Tensor, nn
from torch.utils.data import Dataset

from gastromap.models.longitudinal import LongitudinalNet
from gastromap.training.caching import _code as preprocessing_code

__all__ = ["MapDataset", "MapJudge", "encode"]

_log = logging.getLogger(__name__)
_FILES = ("image1", "mask1", "image2", "mask2")
_STORED = torch.bfloat16
#: Progress is logged so often.
_EVERY = 50


@torch.no_grad()
def encode(network: LongitudinalNet, item: Mapping[str, Any], *, precision: str = "float32") -> Tensor:
    """What :meth:`LongitudinalNet.read` gives for the scans of one patient.

    Parameters
    ----------
    network : LongitudinalNet
        In evaluation mode.
    item : mapping
        ``image``, ``present`` and ``masks`` of :func:`gastromap.preprocessing.pair_transforms.assembled`.
    precision : {"float32", "bfloat16"}

    Returns
    -------
    Tensor, shape (n, channels, d, h, w), float32
        Of the n scans that are present, first before second.
    """
    device = next(network.parameters()).device
    image, present = item["image"][None].to(device), item["present"][None].to(device)
    masks = item["masks"][None].to(device) if network.mask_channel else None
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        scans, _ = network.scans(image, present, masks)
        return network.read(scans).float()


class MapDataset(Dataset[dict[str, Any]]):
    """Patients as stored maps.

    Parameters
    ----------
    data : sequence of mapping
        Of :func:`gastromap.training.pair_datalist.read_pair_datalist`.
    prepare : Compose
        Fixed transforms of a record.
    finish : transform
        Ends a prepared record: ``RandomPaird``, or ``AssemblePaird`` for validation.
    network : LongitudinalNet
        Its stages 1 to 3 are used as they are now.
    draws : int
        Views of every patient; 1 for validation. An item shows one of them by chance.
    cache_dir : path, optional
        Folder in which the maps are kept, a file a patient (0.3 MB a view in ``default``), so that a second training
        starts at once and a stopped one goes on. An entry is found by record, size and time of its files, weights of
        the encoder, parameters and source of the preprocessing.
    precision : {"float32", "bfloat16"}
    seed : int
        Of the views.

    Notes
    -----
    Maps are held in memory as bfloat16: values of a trained encoder pass 65,504, where float16 ends.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        *,
        prepare: Compose,
        finish: Any,
        network: LongitudinalNet,
        draws: int = 1,
        cache_dir: str | Path | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        self.data = list(data)
        self._draws = draws
        network.eval()
        if isinstance(finish, Randomizable):
            finish.set_random_state(seed=seed)
        views_of = {
            "code": preprocessing_code(),
            "stored": str(_STORED),
            "views": pickle_hashing([*prepare.transforms, finish]),
            "draws": draws,
            "seed": seed,
        }
        base = _digest({"encoder": _encoder_hash(network), "precision": precision, **views_of})
        # MONAI's transforms change when they are used; the next dataset with them would have another digest.
        prepare = copy.deepcopy(prepare)
        self._maps: list[Tensor] = []
        for number, record in enumerate(self.data):
            entry = None if cache_dir is None else Path(cache_dir) / f"{_digest({'of': base, **_state(record)})}.pt"
            if entry is not None and entry.is_file():
                self._maps.append(torch.load(entry, weights_only=True))
                continue
            if isinstance(finish, Randomizable):
                # By record: the same views whatever was stored before.
                finish.set_random_state(seed=seed * 1_000_003 + number)
            prepared = prepare(dict(record))
            views = [encode(network, finish(prepared), precision=precision) for _ in range(draws)]
            maps = torch.stack(views).to(_STORED).cpu()
            self._maps.append(maps)
            if entry is not None:
                entry.parent.mkdir(parents=True, exist_ok=True)
                partial = entry.with_suffix(".partial")
                torch.save(maps, partial)
                partial.replace(entry)
            if (number + 1) % _EVERY == 0:
                _log.info("encoder: %d of %d patients", number + 1, len(self.data))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``image`` (2, channels, d, h, w), zeros where absent; ``present``, ``label``, ``patient_id``."""
        record, maps = self.data[index], self._maps[index]
        view = maps[int(torch.randint(self._draws, ()))].float()
        present = torch.tensor(["image1" in record, "image2" in record])
        image = view.new_zeros(2, *view.shape[1:])
        image[present] = view
        label = torch.as_tensor(record["label"], dtype=torch.float32)
        return {"image": image, "present": present, "label": label, "patient_id": record["patient_id"]}


class MapJudge(nn.Module):
    """The upper half of a longitudinal network as a network of its own, over stored maps.

    Parameters
    ----------
    network : LongitudinalNet
        Its stages 1 to 3 get no gradients from here on.
    """

    def __init__(self, network: LongitudinalNet) -> None:
        super().__init__()
        #: As of a DistributedDataParallel, so that checkpoints and parameter groups take the whole network.
        self.module = network
        for part in (network.encoder.stem, network.encoder.stem_end, *_lower_stages(network)):
            part.requires_grad_(False)  # noqa: FBT003 -- torch's own signature

    def forward(self, image: Tensor, present: Tensor) -> Tensor:
        """Logits (batch, 1 + K) of maps (batch, 2, channels, d, h, w)."""
        where = present.flatten().nonzero().squeeze(1)
        out: Tensor = self.module.judge(image.flatten(0, 1)[where], present).logits
        return out


def _lower_stages(network: LongitudinalNet) -> tuple[nn.Module, ...]:
    return network.encoder.stage1, network.encoder.stage2, network.encoder.stage3


def _encoder_hash(network: LongitudinalNet) -> str:
    found = hashlib.sha256()
    for part in (network.encoder.stem, network.encoder.stem_end, *_lower_stages(network)):
        for value in part.state_dict().values():
            found.update(value.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()


def _state(record: Mapping[str, Any]) -> dict[str, str]:
    content = {str(key): str(value) for key, value in record.items() if key not in ("label", "clinical", "cohort")}
    for key in _FILES:
        if key in record:
            file = Path(record[key]).stat()
            content[f"{key} file"] = f"{file.st_size} {file.st_mtime_ns}"
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
