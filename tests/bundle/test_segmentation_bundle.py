"""The segmentation bundle: schema, MONAI's checks, and its commands on a tiny cohort with the preset ``tiny``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from builders.bundle import REPOSITORY
from monai.bundle import ConfigWorkflow

from gastromap.model_card import ModelCard

BUNDLE = REPOSITORY / "bundles" / "gastric_tumor_segmentation"
METADATA = json.loads((BUNDLE / "configs" / "metadata.json").read_text())
_TINY = {
    "network_args::preset": "tiny",
    "patch": "[32,32,32]",
    "spacing_mm": "[4.0,4.0,4.0]",
    "max_epochs": "1",
    "batch_size": "2",
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight volumes of a stomach with a tumour in it, as ``gastromap synth --format nifti`` writes them."""
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(8)
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    splits: dict[str, list[dict[str, object]]] = {"training": [], "validation": [], "test": []}
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (48, 48, 40)), indexing="ij"), axis=-1)
    for number in range(8):
        mask = np.zeros((48, 48, 40), np.uint8)
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
    def test_the_metadata_follow_the_schema_they_name(self) -> None:
        schema = json.loads((Path(__file__).parent / "meta_schema_20240725.json").read_text())
        jsonschema.validate(METADATA, schema)
        assert METADATA["version"] in METADATA["changelog"]

    def test_its_versions_are_those_of_the_first_bundle(self) -> None:
        other = json.loads((BUNDLE.parent / "gastric_tstage_classification" / "configs" / "metadata.json").read_text())
        for key in ("monai_version", "pytorch_version", "numpy_version", "required_packages_version"):
            assert METADATA[key] == other[key]

    def test_the_zoo_files_are_there_and_small(self) -> None:
        for path in ("LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"):
            assert (BUNDLE / path).is_file()
        assert max(p.stat().st_size for p in BUNDLE.rglob("*") if p.is_file()) <= 25_000_000
        for path in (BUNDLE / "configs").glob("*.yaml"):
            assert isinstance(yaml.safe_load(path.read_text()), dict)

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


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "--logging_file", "configs/logging.conf", *arguments],
        cwd=BUNDLE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
class TestCommands:
    """In this order: inference needs the files of the training."""

    @pytest.fixture(scope="class")
    def run_folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("run")

    def test_the_fine_network_trains_and_writes_weights_and_card(self, volumes: Path, run_folder: Path) -> None:
        overrides = [part for key, value in _TINY.items() for part in (f"--{key}", value)]
        _run(
            "--config_file", "configs/train.yaml",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(run_folder), *overrides,
        )  # fmt: skip
        card = ModelCard.read(run_folder)
        assert card.volume_profile().spacing_mm == (4.0, 4.0, 4.0)
        card.build().load_state_dict(torch.load(run_folder / "model.pt", weights_only=True))

    def test_inference_writes_a_mask_a_volume_in_the_place_of_the_volume(
        self, volumes: Path, run_folder: Path, tmp_path: Path
    ) -> None:
        _run(
            "--config_file", "configs/inference.yaml",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(run_folder), "--output_dir", str(tmp_path),
        )  # fmt: skip
        masks = sorted(tmp_path.glob("*_tumour.nii.gz"))
        assert len(masks) == 2
        image, mask = nib.load(volumes / "i6.nii.gz"), nib.load(masks[0])
        corners = [np.asarray(v.affine) @ (*(np.array(v.shape[:3]) / 2 - 0.5), 1) for v in (image, mask)]  # type: ignore[attr-defined]
        np.testing.assert_allclose(corners[0], corners[1], atol=1e-3)

    def test_the_coarse_network_trains_with_its_overlay(self, volumes: Path, tmp_path: Path) -> None:
        _run(
            "--config_file", "['configs/train.yaml','configs/coarse.yaml']",
            "--dataset_dir", str(volumes), "--ckpt_dir", str(tmp_path), "--patch", "[32,48,48]",
            "--max_epochs", "1", "--batch_size", "2",
        )  # fmt: skip
        assert ModelCard.read(tmp_path).volume_profile().regions == ("stomach", "tumour")
        assert (tmp_path / "model.pt").is_file()
