"""One command from a table with Chinese headers and crops to a model, its predictions and its evaluation."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from cohort.pair_builder import CHINESE_OPTIONS, HEADERS, chinese_row, write_crops, write_xlsx
from gastromap.cli._main import main
from gastromap.longitudinal import LongitudinalPredictor

_PATIENTS = 40


def hospital(folder: Path, *, patients: int, dead: float = 0.67) -> list[str]:
    """Command for a table of so many patients, of whom this share has died."""
    rows = [chinese_row(n, write_crops(folder / "crops", n)) for n in range(1, patients + 1)]
    for number, row in enumerate(rows):
        row[HEADERS["os"]] = 30.4375 * (6 + (number * 7) % 60)
        row[HEADERS["death"]] = "死亡" if (number * 0.37) % 1 < dead else "存活"
    table = write_xlsx(folder / "队列.xlsx", rows)
    words = ["train-pairs", "--table", str(table), "--images", str(folder / "crops"), "--out", str(folder / "run")]
    return [*words, "--workers", "1", "--quiet", "--preset", "tiny", "--whole-epochs", "1", *CHINESE_OPTIONS]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return hospital(tmp_path_factory.mktemp("hospital"), patients=_PATIENTS)


@pytest.fixture(scope="module")
def trained(command: list[str]) -> Path:
    assert main(command) == 0
    return Path(command[command.index("--out") + 1])


class TestOneCommand:
    def test_makes_a_model_that_the_application_reads(self, trained: Path) -> None:
        predictor = LongitudinalPredictor.load(trained / "models")
        assert predictor.bundle.card.trained_on == "own cohort"
        assert "train-pairs --preset tiny" in json.dumps(dict(predictor.bundle.card.training))

    def test_predicts_every_patient_of_the_test_split(self, trained: Path) -> None:
        test = json.loads((trained / "data" / "datalist.json").read_text())["test"]
        for name in ("pairs", "baseline", "shuffled"):
            with (trained / "predictions" / f"{name}.csv").open(encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            assert {row["patient_id"] for row in rows} == {record["patient_id"] for record in test}
            assert all(0 <= float(row["lnm_probability"]) <= 1 for row in rows)

    def test_compares_pairs_with_baselines_and_shuffled_pairs(self, trained: Path) -> None:
        page = next((trained / "evaluation").glob("*.html")).read_text(encoding="utf-8")
        assert "baseline" in page
        assert "shuffled" in page

    def test_leaves_no_identifier_of_the_hospital_in_its_folder(self, trained: Path) -> None:
        for path in trained.rglob("*"):
            assert "GC0" not in path.name
            if path.suffix in {".json", ".csv", ".html"}:
                assert "GC0" not in path.read_text(encoding="utf-8"), path

    def test_given_again_trains_nothing_and_ends_alike(self, trained: Path, command: list[str]) -> None:
        weights = (trained / "whole" / "model.pt").stat().st_mtime_ns
        assert main(command) == 0
        assert (trained / "whole" / "model.pt").stat().st_mtime_ns == weights


def test_a_handful_of_patients_makes_a_model_that_says_on_how_few_it_rests(tmp_path: Path) -> None:
    assert main(hospital(tmp_path, patients=8, dead=0.2)) == 0
    bundle = LongitudinalPredictor.load(tmp_path / "run" / "models").bundle
    assert len(bundle.constants.breaks_months) == 2
    assert "Survival rests on" in bundle.card.notice
    assert "deaths: do not rely on it." in bundle.card.notice
    assert (tmp_path / "run" / "predictions" / "pairs.csv").is_file()


@pytest.mark.parametrize(
    ("name", "origin"), [("SYNTHETIC gastric cancer before and after chemotherapy", "synthetic"), ("a", "our hospital")]
)
def test_a_model_of_a_synthetic_cohort_says_so_whatever_the_cohort_is_called(
    name: str, origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def _stopped(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", _stopped)
    (tmp_path / "datalist.json").write_text(json.dumps({"meta": {"name": name}, "training": []}))
    words = ["train-pairs", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--cohort", "our hospital"]
    assert main(words) != 0
    options = dict(zip(commands[0], commands[0][1:], strict=False))
    assert options["--trained_on"] == origin
    assert ("SYNTHETIC" in options["--notice"]) == (origin == "synthetic")


def test_table_and_prepared_folder_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-pairs", "--out", str(tmp_path)]) == 2
    assert "TRAIN_PAIRS arguments: expected --table" in capsys.readouterr().err
