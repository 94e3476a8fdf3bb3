"""The input gate seen from the command line: a refusal writes nothing, and what must not matter does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders.bundle import REPOSITORY
from dicom_input.fault_rows import REFUSED
from dicom_input.series_builder import make_series

from app.__main__ import main


class TestRefusals:
    @pytest.mark.parametrize("row", REFUSED)
    def test_each_refused_row_of_the_fault_table_writes_nothing(
        self, row: str, random_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        build, code = REFUSED[row]
        (tmp_path / "in").mkdir()
        build(tmp_path / "in")
        before = sorted(path.name for path in tmp_path.iterdir())
        status = main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", str(random_models)])
        captured = capsys.readouterr()
        assert status == 3
        assert captured.out == ""
        assert captured.err.splitlines()[-1].startswith(f"{code} ")
        assert sorted(path.name for path in tmp_path.iterdir()) == before


class TestPrivacy:
    @pytest.mark.parametrize("key", [(), ("--key-slice", "9")], ids=["refused", "staged"])
    def test_no_patient_data_in_any_output_even_when_debugging(
        self, key: tuple[str, ...], random_models: Path, tmp_path: Path
    ) -> None:
        mark = "QQMARKQQ"
        texts = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "ReferringPhysicianName", "StudyID")
        series = make_series(size=(256, 256)).set(**dict.fromkeys(texts, mark), PatientBirthDate="19330303")
        series.set(SeriesDescription=f"portal venous {mark}").write(tmp_path / mark, prefix=mark)
        out = tmp_path / "out"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "app",
                "-i",
                str(tmp_path / mark),
                "-o",
                str(out),
                "-m",
                str(random_models),
                "-l",
                "DEBUG",
                *key,
            ],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == (0 if key else 3), done.stderr
        texts_out = [done.stdout, done.stderr]
        if key:
            names = [str(path.relative_to(out)) for path in out.rglob("*")]
            texts_out += [*names, (out / "result.json").read_text()]
        everything = " ".join(texts_out).replace(str(out), "")
        assert mark not in everything
        assert "19330303" not in everything


def _shuffled(source: Path, target: Path) -> None:
    names = np.random.default_rng(4).permutation(10_000)
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        shutil.copy(path, target / f"{names[number]}")


def _nested_and_twice(source: Path, target: Path) -> None:
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        for folder in (target / str(number % 7) / str(number % 3), target / "again"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{number}.dcm")


def _zipped_with_junk(source: Path, target: Path) -> None:
    archive = target / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in source.rglob("*"):
            if path.is_file():
                packed.write(path, path.relative_to(source))
        packed.writestr("__MACOSX/._image", b"\x00\x05\x16\x07" * 20)
        packed.writestr("Thumbs.db", b"\xd0\xcf\x11\xe0" * 100)
        packed.writestr("report.txt", "nothing")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(target)


ARRANGEMENTS = {
    "shuffled, without suffix": (_shuffled, set()),
    "nested, every file twice": (_nested_and_twice, {"DUPLICATES_DROPPED"}),
    "zipped and extracted among foreign files": (_zipped_with_junk, {"FOREIGN_FILES"}),
}


class TestInvariance:
    @pytest.fixture(scope="class")
    def result_of(
        self, random_models: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Callable[[Path], dict[str, object]]:
        def run(folder: Path) -> dict[str, object]:
            out = tmp_path_factory.mktemp("run") / "out"
            assert main(["-i", str(folder), "-o", str(out), "-m", str(random_models)]) == 0
            return json.loads((out / "result.json").read_text())

        return run

    @pytest.fixture(scope="class")
    def expected(self, result_of: Callable[[Path], dict[str, object]], study_folder: Path) -> dict[str, object]:
        return result_of(study_folder)

    @pytest.mark.parametrize("arrangement", ARRANGEMENTS)
    def test_the_arrangement_of_the_files_changes_no_result(
        self,
        arrangement: str,
        result_of: Callable[[Path], dict[str, object]],
        expected: dict[str, object],
        study_folder: Path,
        tmp_path: Path,
    ) -> None:
        arrange, warnings = ARRANGEMENTS[arrangement]
        arrange(study_folder, tmp_path)
        found = result_of(tmp_path)
        assert set(found["warnings"]) == set(expected["warnings"]) | warnings
        # Labels carry a hash with the key of the run.
        for result in (found, expected):
            series = result["input"]
            for record in (series["series"], *series["runners_up"]):
                record["label"] = record["label"].split(" #")[0]
        for part in ("input", "key_slice", "stage", "grad_cam", "nomogram"):
            assert found[part] == expected[part]
