"""``python -m monai.bundle run`` as the README prints it, on a tiny synthetic cohort."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders.bundle import BUNDLE, REPOSITORY
from builders.bundle_command import run_bundle

from gastromap.training import read_datalist

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def bundle_run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run_bundle(BUNDLE, *arguments, check=check)


class TestCommands:
    """In this order: each command needs the files of the one before."""

    def test_training_takes_steps_and_writes_weights_and_card(self, cohort: Path, run_folder: Path) -> None:
        done = bundle_run(
            "--config_file", "['configs/train.yaml','configs/demo.yaml','configs/tensorboard.yaml']",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(run_folder), "--output_dir", str(run_folder / "eval"),
            "--max_epochs", "2", "--batch_size", "4", "--train::trainer::max_epochs", "1",
            "--accumulate", "2", "--class_weights", "balanced", "--cache_dir", str(run_folder / "cache"),
        )  # fmt: skip
        assert (run_folder / "model.pt").is_file()
        assert (run_folder / "model.json").is_file()
        assert "Epoch[1] Metrics -- train_accuracy" in done.stdout

    def test_the_tensorboard_overlay_wrote_figures_of_training_and_validation(self, run_folder: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run_folder / "eval" / "tensorboard"))
        events.Reload()
        assert {"train_loss", "train_accuracy", "val_auc", "val_nll"} <= set(events.Tags()["scalars"])
        assert [event.step for event in events.Scalars("val_auc")] == [1]

    def test_training_on_crops_starts_from_given_weights(self, cohort: Path, run_folder: Path, tmp_path: Path) -> None:
        bundle_run(
            "--config_file", "['configs/train.yaml','configs/demo.yaml','configs/crops.yaml']",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(tmp_path), "--max_epochs", "1", "--batch_size", "8",
            "--initial_weights", str(run_folder / "model.pt"),
        )  # fmt: skip
        assert (tmp_path / "model.pt").is_file()

    def test_a_stopped_training_goes_on(self, cohort: Path, run_folder: Path) -> None:
        done = bundle_run(
            "--config_file", "['configs/train.yaml','configs/demo.yaml']",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(run_folder), "--cache_dir", str(run_folder / "cache"),
            "--max_epochs", "2", "--batch_size", "4", "--resume", "True",
        )  # fmt: skip
        assert "epoch 1 until 2 epochs" in done.stdout
        assert "Epoch[2] Metrics -- train_accuracy" in done.stdout
        # The second process found the slices that the first one prepared.
        records = read_datalist(cohort)
        assert len(list((run_folder / "cache").iterdir())) == len(records["training"]) + len(records["validation"])

    def test_evaluation_writes_metrics_and_predictions(self, cohort: Path, run_folder: Path, tmp_path: Path) -> None:
        bundle_run(
            "--config_file", "['configs/train.yaml','configs/evaluate.yaml']",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(run_folder), "--output_dir", str(tmp_path),
        )  # fmt: skip
        assert "val_auc" in (tmp_path / "metrics.csv").read_text()
        assert (tmp_path / "predictions.csv").is_file()

    def test_inference_writes_one_row_of_probabilities_an_image(
        self, cohort: Path, run_folder: Path, tmp_path: Path
    ) -> None:
        bundle_run(
            "--config_file", "configs/inference.yaml",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(run_folder), "--output_dir", str(tmp_path),
        )  # fmt: skip
        with (tmp_path / "predictions.csv").open() as stream:
            rows = [row for row in csv.reader(stream) if row]
        values = [[float(v) for v in row[1:5]] for row in rows]
        assert len(rows) == 8
        assert all(sum(v) == pytest.approx(1, abs=1e-4) for v in values)

    def test_two_processes_train_together(self, cohort: Path, tmp_path: Path) -> None:
        done = subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                "-m", "monai.bundle", "run", "--logging_file", "configs/logging.conf", "--config_file",
                "['configs/train.yaml','configs/demo.yaml','configs/multi_gpu_train.yaml','configs/multi_cpu_train.yaml']",
                "--dataset_dir", str(cohort), "--ckpt_dir", str(tmp_path), "--max_epochs", "1", "--batch_size", "2",
                "--accumulate", "2", "--class_weights", "balanced",
            ],
            cwd=BUNDLE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert (tmp_path / "model.pt").is_file()
        state = torch.load(tmp_path / "model.pt", weights_only=True)
        assert "conv1.weight" in state

    def test_the_mlflow_overlay_writes_a_run_on_this_machine(self, cohort: Path, tmp_path: Path) -> None:
        mlflow = pytest.importorskip("mlflow", reason="requirements-tracking.txt is not installed")
        bundle_run(
            "--config_file", "['configs/train.yaml','configs/demo.yaml','configs/mlflow.yaml']",
            "--dataset_dir", str(cohort), "--ckpt_dir", str(tmp_path), "--output_dir", str(tmp_path / "eval"),
            "--max_epochs", "1", "--batch_size", "8",
        )  # fmt: skip
        client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/eval/mlflow/mlruns.db")
        (run,) = client.search_runs([client.get_experiment_by_name("gastromap").experiment_id])
        assert run.info.status == "FINISHED"
        assert {"train_loss", "train_accuracy", "val_auc", "lr"} <= {
            name.split("_group")[0] for name in run.data.metrics
        }
        assert (run.data.params["depth"], run.data.params["class_weights"]) == ("18", "None")
