"""What imported weights become: a bundle that the application runs, or a state dict to start training from."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gastromap.errors import ModelError, OutputError
from gastromap.files import unwritable
from gastromap.model_card import WEIGHTS_NAME, ModelCard, sha256_of
from gastromap.models import GTRNet
from gastromap.preprocessing import PreprocessingProfile
from gastromap.weight_import import ForeignWeights, foreign

__all__ = ["write_imagenet_start", "write_imported_bundle"]

_PUBLISHED_TRAINED_ON = "patients of the released cohort (doi 10.1038/s41746-025-02002-5)"
_PUBLISHED_NOTICE = (
    "Weights released with doi 10.1038/s41746-025-02002-5, imported unchanged, not calibrated and not validated here. "
    "The released split has most test patients in training as well. Research use only, not for diagnosis."
)
_OTHER_NOTICE = (
    "Imported weights of unknown origin and training, not calibrated and not validated here. "
    "Research use only, not for diagnosis."
)
#: What describes the training of the shipped model and nothing else.
_NOT_COPIED = ("demo.yaml", "crops.yaml")


def write_imagenet_start(weights: ForeignWeights, out: Path) -> None:
    """Write a state dict that training starts from (``network_args::imagenet_weights``).

    Raises
    ------
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    """
    _check_free(out)
    partial = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(weights.state), partial)
        partial.replace(out)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        partial.unlink(missing_ok=True)
        raise _unwritable(error) from error


def write_imported_bundle(weights: ForeignWeights, template: Path, out: Path) -> ModelCard:
    """Write a bundle that the application runs with the ``released`` preprocessing.

    It has no calibration, Rad-score or nomogram: they belong to weights and are fitted by ``gastromap publish``.

    Parameters
    ----------
    weights : ForeignWeights
        With four outputs.
    template : Path
        The T-stage bundle; its configurations and licence are copied.
    out : Path
        New folder; all of it is written or nothing.

    Raises
    ------
    ModelError
        ``WEIGHTS_FOREIGN`` for another number of outputs, ``BUNDLE_MISSING`` without template.
    OutputError
        ``OUTPUT_EXISTS`` or ``OUTPUT_UNWRITABLE``.
    """
    if weights.classes != 4:
        remedy = "Use --imagenet to make it a start for training." if weights.classes == 1000 else "Name another file."
        raise foreign("four outputs, T1 to T4", f"{weights.classes or 'no'} outputs", remedy)
    if not (template / "configs" / "metadata.json").is_file():
        raise ModelError(
            "BUNDLE_MISSING",
            where="template",
            expected="a T-stage bundle to copy the configurations from",
            got="none",
            remedy="Name it with --bundle.",
        )
    _check_free(out)
    network = {"depth": weights.depth, "in_channels": 3, "num_classes": 4, "crop_fusion": False}
    net = GTRNet(**network)  # type: ignore[arg-type]
    net.load_state_dict(dict(weights.state))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gastromap-import-", dir=out.parent) as scratch:
            staging = Path(scratch) / "bundle"
            models = staging / "models"
            shutil.copytree(template / "configs", staging / "configs", ignore=shutil.ignore_patterns(*_NOT_COPIED))
            shutil.copyfile(template / "LICENSE", staging / "LICENSE")
            models.mkdir()
            torch.save(net.state_dict(), models / WEIGHTS_NAME)
            card = _card(weights, network, sha256_of(models / WEIGHTS_NAME))
            card.write(models)
            _describe(staging, weights, card)
            staging.rename(out)
    except (OSError, RuntimeError) as error:
        raise _unwritable(error) from error
    return card


def _card(weights: ForeignWeights, network: Mapping[str, Any], sha256: str) -> ModelCard:
    return ModelCard(
        network=network,
        preprocessing=PreprocessingProfile.named("released").to_mapping(),
        weights_sha256=sha256,
        trained_on=_PUBLISHED_TRAINED_ON if weights.published else "unknown (imported file)",
        notice=_PUBLISHED_NOTICE if weights.published else _OTHER_NOTICE,
        training={
            "imported_from": {"sha256": weights.sha256, "form": weights.form, "published": weights.published},
        },
    )


def _describe(bundle: Path, weights: ForeignWeights, card: ModelCard) -> None:
    """Metadata and README that tell of these weights; nothing of the template's model may stay."""
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata.pop("eval_metrics", None)
    metadata |= {
        "name": f"GastroMAP imported ResNet-{weights.depth}",
        "changelog": {metadata["version"]: f"ResNet-{weights.depth} imported from a file"},
        "description": f"Four-class T stage (T1 to T4) of gastric cancer from one CT slice. {card.notice}",
        "data_source": card.trained_on,
        "image_classes": "Hounsfield units of one axial CT slice; preprocessing profile released",
    }
    image = metadata["network_data_format"]["inputs"]["image"]
    image |= {
        "num_channels": 3,
        "value_range": [-3, 3],
        "channel_def": {str(k): "windowed grey slice" for k in range(3)},
    }
    path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    (bundle / "docs").mkdir()
    (bundle / "docs" / "README.md").write_text(
        f"# Model Description\n\ntorchvision ResNet-{weights.depth} with four outputs, from a file with SHA-256\n"
        f"{weights.sha256}, read by `gastromap import-weights`.\n\n{card.notice}\n\n"
        "Preprocessing profile `released`. Fit calibration, Rad-score and nomogram on an own cohort with"
        " `gastromap publish`.\n",
        encoding="utf-8",
    )


def _check_free(out: Path) -> None:
    if out.exists():
        raise OutputError(
            "OUTPUT_EXISTS", where="output", expected="a new name", got="one that exists", remedy="Name another one."
        )


def _unwritable(error: Exception) -> OutputError:
    remedy = "Name another one, or free space and correct its permissions."
    return unwritable(error, expected="a place that files can be written to", remedy=remedy)
