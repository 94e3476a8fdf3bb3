"""The segmentation bundle: schema, MONAI's checks, and its commands on a tiny cohort with the preset ``tiny``."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from builders.bundle import REPOSITORY
from builders.bundle_command import run_bundle
from monai.bundle import ConfigWorkflow

from gastromap.model_card import ModelCard

BUNDLE = REPOSITORY / "bundles" / "gastric_tumor_segmentation"
_TINY = {
    "network_args::preset": "tiny",
    "patch": "[16,32,32]",
    "spacing_mm": "[4.0,4.0,4.0]",
    "max_epochs": "1",
    "batch_size": "2",
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight stomachs with a tumour, no two alike in size, as ``gastromap synth --format nifti`` writes."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(8)
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    splits: dict[str, list[dict[str, object]]] = {"training": [], "validation": [], "test": []}
    for number in range(8):
        shape = (48 + number, 48, 40 + 2 * number)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
        mask = np.zeros(shape, np.uint8)
        centre = np.array([24, 24, 20]) + rng.integers(-4, 5, 3)
        mask[np.linalg.norm(grid - centre, axis=-1) < 10] = 1
        mask[np.linalg.norm(grid - centre - (6, 0, 0), axis=-1) < 4] = 2
        hu = (np.choose(mask, [-90, 10, 100]) + rng.normal(0, 15, mask.shape)).astype(np.int16)
        nib.save(nib.Nifti1Image(hu, affine), folder / f"i{number}.nii.gz")
        nib.save(nib.Nifti1Image(mask, affine), folder / f"m{number}.nii.gz")
        split = ("training", "training", "training", "training", "validation", "validation", "test", "test")[number]
        record = {"image": f"i{number}.nii.gz", "mask": f"m{number}.nii.gz", "label": 2, "patient_id": str(number)}
        splits[split].append(record)
    (folder / "datalist.json").write_text(json.dumps(splits))
    return folder


class TestFormat:
    def test_monai_finds_every_property_of_the_training(self, volumes: Path, tmp_path: Path) -> None:
        workflow = ConfigWorkflow(
            config_file=[str(BUNDLE / "configs" / "train.yaml")],
            meta_file=str(BUNDLE / "configs" / "metadata.json"),
            workflow_type="train",
            bundle_root=str(BUNDLE),
            ckpt_dir=str(tmp_path),
            dataset_dir=str(volumes),
            **{"network_args::preset": "tiny"},
        )
        workflow.initialize()
        assert workflow.check_properties() in (None, [])


@pytest.mark.slow
class TestCommands:
    """In this order: inference needs the files of the training."""

    @pytest.fixture(scope="class")
    def run_folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("run")

    def test_the_fine_network_trains_and_writes_weights_and_card(self, volumes: Path, run_folder: Path) -> None:
        overrides = [part for key, value in _TINY.items() for part in (f"--{key}", value)]
        run_bundle(
            BUNDLE,
            "--config_file", "configs/train.yaml",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(run_folder), *overrides,
        )  # fmt: skip
        card = ModelCard.read(run_folder)
        assert card.volume_profile().spacing_mm == (4.0, 4.0, 4.0)
        card.build().load_state_dict(torch.load(run_folder / "model.pt", weights_only=True))

    def test_inference_writes_a_mask_a_volume_in_the_place_of_the_volume(
        self, volumes: Path, run_folder: Path, tmp_path: Path
    ) -> None:
        run_bundle(
            BUNDLE,
            "--config_file", "configs/inference.yaml",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(run_folder), "--output_dir", str(tmp_path),
        )  # fmt: skip
        masks = sorted(tmp_path.glob("*_tumour.nii.gz"))
        assert len(masks) == 2
        image, mask = nib.load(volumes / "i6.nii.gz"), nib.load(masks[0])
        corners = [np.asarray(v.affine) @ (*(np.array(v.shape[:3]) / 2 - 0.5), 1) for v in (image, mask)]  # type: ignore[attr-defined]
        np.testing.assert_allclose(corners[0], corners[1], atol=1e-3)

    def test_the_coarse_network_trains_with_its_overlay(self, volumes: Path, tmp_path: Path) -> None:
        run_bundle(
            BUNDLE,
            "--config_file", "['configs/train.yaml','configs/coarse.yaml']",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(tmp_path), "--patch", "[32,48,48]",
            "--max_epochs", "1", "--batch_size", "2",
        )  # fmt: skip
        assert ModelCard.read(tmp_path).volume_profile().regions == ("stomach", "tumour")
        assert (tmp_path / "model.pt").is_file()

    def test_the_wall_network_trains_with_its_overlay_on_the_stomachs_of_the_masks(
        self, volumes: Path, tmp_path: Path
    ) -> None:
        run_bundle(
            BUNDLE,
            "--config_file", "['configs/train.yaml','configs/wall.yaml']",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(tmp_path), "--organ", "[1,2]",
            "--max_epochs", "2", "--batch_size", "2", "--cells", "64", "--network_args::channels", "8",
        )  # fmt: skip
        card = ModelCard.read(tmp_path)
        assert card.network["type"] == "WallNet"
        weights = torch.load(tmp_path / "model.pt", weights_only=True)
        card.build().load_state_dict(weights)
        # Its scale is that of the cells it was shown, not that of a new network.
        assert not torch.allclose(weights["scale.running_mean"], torch.zeros(()))
        # Behind it, what the cells around one say.
        run_bundle(
            BUNDLE,
            "--config_file", "['configs/train.yaml','configs/wall.yaml','configs/wall_context.yaml']",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(tmp_path / "context"), "--organ", "[1,2]",
            "--initial_weights", str(tmp_path / "model.pt"), "--max_epochs", "1", "--network_args::channels", "8",
        )  # fmt: skip
        behind = torch.load(tmp_path / "context/model.pt", weights_only=True)
        ModelCard.read(tmp_path / "context").build().load_state_dict(behind)
        assert all(torch.equal(behind[name], value) for name, value in weights.items())
        assert behind["context.out.weight"].any()
