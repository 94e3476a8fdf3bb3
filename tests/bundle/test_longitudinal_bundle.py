"""The longitudinal bundle: schema, MONAI's checks, and its commands on a tiny cohort with the preset ``tiny``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders.bundle_command import run_bundle
from builders.pairs import BUNDLE, write_pairs
from monai.bundle import ConfigWorkflow

from gastromap.longitudinal import LongitudinalConstants
from gastromap.model_card import ModelCard
from gastromap.models.longitudinal import SegmentationNet

_TINY = {
    "preset": "tiny",
    "patch": "[32,32,32]",
    "spacing_mm": "[4.0,4.0,4.0]",
    "breaks": "[0,8,16,24,32,40,48,56,64,72,90]",
    "max_epochs": "2",
    "batch_size": "2",
    "accumulate": "2",
    "num_workers": "1",
    "precision": "float32",
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # An odd number, so that two processes do not validate equally many.
    return write_pairs(tmp_path_factory.mktemp("pairs"), validation=7)


class TestFormat:
    @pytest.mark.parametrize("overlays", [[], ["frozen"]])
    def test_monai_finds_every_property_of_the_training(self, overlays: list[str], pairs: Path, tmp_path: Path) -> None:
        options = {key: yaml.safe_load(value) for key, value in _TINY.items()}
        workflow = _workflow("train", *overlays, dataset_dir=pairs, ckpt_dir=tmp_path, **options)
        workflow.initialize()
        assert workflow.check_properties() in (None, [])


def _workflow(*configs: str, kind: str = "train", **overrides: Any) -> ConfigWorkflow:
    texts = {key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()}
    return ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / f"{name}.yaml") for name in configs],
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=str(BUNDLE / "configs" / "logging.conf"),
        workflow_type=kind,
        bundle_root=str(BUNDLE),
        **texts,
    )


def _run(*arguments: str, processes: int = 1) -> str:
    done = run_bundle(BUNDLE, *arguments, processes=processes)
    return done.stdout + done.stderr


def _overrides(**changes: str) -> list[str]:
    return [part for key, value in {**_TINY, **changes}.items() for part in (f"--{key}", value)]


@pytest.mark.slow
class TestCommands:
    """In this order: each needs the files of the one before."""

    @pytest.fixture(scope="class")
    def runs(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("runs")

    def test_the_upper_half_trains_on_stored_maps_of_a_segmentation_encoder(self, pairs: Path, runs: Path) -> None:
        torch.manual_seed(1)
        segmentation = SegmentationNet("tiny").state_dict()
        torch.save(segmentation, runs / "segmentation.pt")
        _run(
            "--config_file", "['configs/train.yaml','configs/frozen.yaml']",
            "--dataset_dir", str(pairs), "--ckpt_dir", str(runs / "frozen"), "--draws", "2",
            "--encoder_weights", str(runs / "segmentation.pt"), "--maps_dir", str(runs / "maps"),
            *_overrides(accumulate="1"),
        )  # fmt: skip
        weights = torch.load(runs / "frozen" / "model.pt", weights_only=True)
        ModelCard.read(runs / "frozen").build().load_state_dict(weights)
        assert len(list((runs / "maps").glob("*.pt"))) == 19
        assert torch.equal(weights["encoder.stem_end.weight"], segmentation["encoder.stem_end.weight"])

    def test_the_whole_network_goes_on_from_there_with_tensorboard(
        self, pairs: Path, runs: Path, tmp_path: Path
    ) -> None:
        _run(
            "--config_file", "['configs/train.yaml','configs/tensorboard.yaml']", "--output_dir", str(tmp_path),
            "--dataset_dir", str(pairs), "--ckpt_dir", str(runs / "whole"), "--baseline_only_epochs", "0",
            "--initial_weights", str(runs / "frozen" / "model.pt"), *_overrides(),
        )  # fmt: skip
        card = ModelCard.read(runs / "whole")
        assert card.volume_profile().patch == (32, 32, 32)
        assert card.network["intervals"] == 10
        assert LongitudinalConstants.read(runs / "whole").breaks_months[-1] == 90
        assert list((tmp_path / "tensorboard").glob("events.*"))

    def test_a_stopped_training_goes_on(self, pairs: Path, runs: Path) -> None:
        log = _run(
            "--config_file", "configs/train.yaml",
            "--dataset_dir", str(pairs), "--ckpt_dir", str(runs / "whole"), "--resume", "True",
            *_overrides(max_epochs="3"),
        )  # fmt: skip
        assert "Epoch[3] Complete" in log
        assert "Epoch[2] Complete" not in log

    def test_evaluation_writes_the_figures_of_a_split(self, pairs: Path, runs: Path, tmp_path: Path) -> None:
        evaluation = _workflow(
            "train", "evaluate", dataset_dir=pairs, ckpt_dir=runs / "whole", output_dir=tmp_path, precision="float32"
        )
        evaluation.initialize()
        evaluation.run()
        figures = (tmp_path / "metrics.csv").read_text()
        assert all(name in figures for name in ("val_score", "val_lnm_auc", "val_os_c"))

    def test_inference_writes_a_row_a_patient(self, pairs: Path, runs: Path, tmp_path: Path) -> None:
        inference = _workflow(
            "inference", kind="inference", dataset_dir=pairs, ckpt_dir=runs / "whole", output_dir=tmp_path
        )
        inference.initialize()
        assert inference.check_properties() in (None, [])
        inference.run()
        with (tmp_path / "predictions.csv").open() as stream:
            rows = list(csv.reader(stream))
        # Probability of node metastasis, risk, S(12) ... S(60).
        assert [len(row) for row in rows] == [8] * 6
        assert all(0 < float(row[1]) < 1 for row in rows)

    def test_two_processes_train_together(self, pairs: Path, tmp_path: Path) -> None:
        configs = ",".join(f"'configs/{name}.yaml'" for name in ("train", "multi_gpu_train", "multi_cpu_train"))
        _run(
            "--config_file", f"[{configs}]", "--dataset_dir", str(pairs), "--ckpt_dir", str(tmp_path),
            *_overrides(max_epochs="1", baseline_only_epochs="0"), processes=2,
        )  # fmt: skip
        ModelCard.read(tmp_path).build().load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
