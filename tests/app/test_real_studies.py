"""The application on public studies that nobody of the project made."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from builders.bundle import REPOSITORY

from app.__main__ import main

pytestmark = pytest.mark.realdata


class TestRealStudies:
    def test_a_real_series_named_by_the_caller_gives_a_result(
        self, real_data: Path, random_models: Path, tmp_path: Path
    ) -> None:
        folder = real_data / "ct" / "tcga_coad_ay4070"
        uid = str(pydicom.dcmread(next((folder / "dicom").iterdir()), stop_before_pixels=True).SeriesInstanceUID)
        arguments = ["-i", str(folder), "-o", str(tmp_path / "o"), "-m", str(random_models)]
        assert main([*arguments, "--series", uid, "--key-slice", "50"]) == 0
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        assert content["key_slice"]["index_from_feet"] == 50
        assert "SERIES_BY_OPERATOR" in content["warnings"]

    def test_its_headers_name_no_phase_so_without_a_name_it_is_refused(
        self, real_data: Path, random_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = real_data / "ct" / "tcga_coad_ay4070"
        assert main(["-i", str(folder), "-o", str(tmp_path / "o"), "-m", str(random_models), "--key-slice", "50"]) == 3
        assert capsys.readouterr().err.startswith("NO_PORTAL_SERIES")

    def test_jpeg_2000_slices_run_with_a_lowered_coverage_limit(
        self, real_data: Path, random_models: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "config.yaml").write_text("dicom_input: {min_coverage_mm: 30}\n")
        arguments = ["-i", str(real_data / "ct" / "totalseg_contrast20"), "-o", str(tmp_path / "o")]
        arguments += ["-m", str(random_models), "--config", str(tmp_path / "config.yaml")]
        assert main([*arguments, "--series", "only", "--key-slice", "10"]) == 0
        content = json.loads((tmp_path / "o" / "result.json").read_text())
        assert "UIDS_DERIVED" in content["warnings"]

    def test_a_folder_with_missing_slices_is_refused_and_nothing_is_written(
        self, real_data: Path, random_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = real_data / "ct" / "tcga_lihc_bca10x_messy"
        assert main(["-i", str(folder), "-o", str(tmp_path / "o"), "-m", str(random_models), "--key-slice", "20"]) == 3
        assert capsys.readouterr().err.startswith("GAP")
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize("study", ["tcga_coad_ay4070", "cptac_pda_c3l00189", "totalseg_contrast20"])
    def test_the_shipped_finder_finds_no_gastric_tumour_in_patients_who_have_none(
        self, study: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # Colon, pancreas, and a piece of 40 mm.
        (tmp_path / "config.yaml").write_text("dicom_input: {min_coverage_mm: 30}\n")
        folder = real_data / "ct" / study
        images = next(path for path in folder.iterdir() if path.is_dir())
        header = pydicom.dcmread(next(images.iterdir()), stop_before_pixels=True)
        uid = str(header.get("SeriesInstanceUID") or "only")
        arguments = ["-i", str(folder), "-o", str(tmp_path / "o"), "-m", str(REPOSITORY / "bundles")]
        assert main([*arguments, "--config", str(tmp_path / "config.yaml"), "--series", uid]) == 3
        refusal = capsys.readouterr().err
        assert refusal.startswith("NO_TUMOUR")
        assert "no tumour found, not staged" in refusal
        assert not (tmp_path / "o").exists()
