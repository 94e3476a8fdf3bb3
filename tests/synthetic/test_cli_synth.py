"""The command ``gastromap synth``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gastromap.cli import main

SMALL = ["--matrix", "64", "--thickness", "5", "--quiet"]


class TestSynth:
    def test_it_writes_slices_with_tables(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "cohort"
        code = main(["synth", "--patients", "2", "--seed", "3", "--format", "slices", "--out", str(out), *SMALL])
        assert code == 0
        assert (out / "clinical.csv").read_text().count("\n") == 3
        assert "SYNTHETIC-3" not in "".join(capsys.readouterr())

    def test_it_writes_a_study_with_segmentation_and_clinical_file(self, tmp_path: Path) -> None:
        out = tmp_path / "study"
        arguments = ["synth", "--seed", "3", "--centre", "2", "--stage", "T3", "--with-seg", "--out", str(out), *SMALL]
        assert main(arguments) == 0
        assert (out / "studies" / "SYNTHETIC-3-00001" / "S900" / "I0001.dcm").is_file()
        assert json.loads((out / "clinical" / "SYNTHETIC-3-00001.json").read_text())["tumour_size_cm"] > 0
        assert json.loads((out / "records" / "SYNTHETIC-3-00001.json").read_text())["clinical"]["stage"] == "T3"

    @pytest.mark.parametrize(("arguments", "where"), [(["--seed", "-1"], "seed"), (["--patients", "0"], "patients")])
    def test_a_wrong_argument_is_one_line_and_exit_code_2(
        self, arguments: list[str], where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["synth", "--out", str(tmp_path / "out"), *arguments, *SMALL]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"SYNTH_ARGUMENT {where}: expected ")
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_an_unknown_format_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(["synth", "--out", str(tmp_path), "--format", "png"])
        assert stopped.value.code == 2

    def test_an_internal_fault_is_one_line_without_its_text(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("Doe^Jane")

        monkeypatch.setattr("gastromap.synthetic.cohort.write_cohort", broken)
        assert main(["synth", "--out", str(tmp_path / "out"), *SMALL]) == 1
        error = capsys.readouterr().err
        assert error.startswith("INTERNAL gastromap: expected no fault, got RuntimeError.")
        assert "Doe" not in error


def test_the_help_is_complete_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from gastromap.cli._main import build_parser\n"
        "text = build_parser().format_help()\n"
        "heavy = {'torch', 'monai', 'highdicom', 'pydicom', 'scipy', 'pandas', 'SimpleITK'} & set(sys.modules)\n"
        "print(sorted(heavy), 'synth' in text)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
