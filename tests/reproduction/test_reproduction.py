"""The recomputed figures are those of the T-stage design, and the page in docs is what the command makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gastromap.cli._main import main
from gastromap.errors import UsageError
from gastromap.reproduction import read_release
from gastromap.reproduction.release import patient_of

REPOSITORY = Path(__file__).parents[2]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "patient"),
        [
            ("37_P000776229.nii.png", "37_P000776229"),
            ("37_P000776229.nii_+01.png", "37_P000776229"),
            ("37_P000776229.nii_-02.png", "37_P000776229"),
            ("something.png", "something.png"),
        ],
    )
    def test_the_patient_of_a_slice_stands_before_its_suffix(self, name: str, patient: str) -> None:
        assert patient_of(name) == patient


class TestBadInput:
    def test_a_folder_without_the_tables_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="RELEASE_INCOMPLETE"):
            read_release(tmp_path)

    def test_changed_tables_are_refused(self, tmp_path: Path, real_data: Path) -> None:
        for source in (real_data / "gtrnet_release").glob("*.csv"):
            (tmp_path / source.name).write_text(source.read_text().replace("T_stage", "stage"))
        with pytest.raises(UsageError, match="RELEASE_CHANGED"):
            read_release(tmp_path)


@pytest.mark.realdata
class TestRelease:
    @pytest.fixture(scope="class")
    def made(self, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
        out = tmp_path_factory.mktemp("page")
        arguments = ["reproduce", "--release", str(real_data / "gtrnet_release"), "--out", str(out / "page.md")]
        assert main([*arguments, "--json", str(out / "page.json")]) == 0
        return (out / "page.md").read_text(), json.loads((out / "page.json").read_text())

    def test_the_reference_numbers_come_out(self, made: tuple[str, dict]) -> None:
        outputs, split = made[1]["outputs"], made[1]["split"]
        assert (outputs["right"], outputs["slices"]) == (902, 953)
        assert outputs["macro AUC"]["value"] == pytest.approx(0.9932, abs=5e-5)
        assert outputs["kappa linear"]["value"] == pytest.approx(0.9489, abs=5e-5)
        assert outputs["kappa quadratic"]["value"] == pytest.approx(0.9661, abs=5e-5)
        assert (split["rows_of_training_list"], split["patients_of_training_list"]) == (1192, 358)
        assert (split["test_patients_with_training_outputs"], split["test_patients"]) == (177, 179)

    def test_treatment_figures_are_the_printed_ones(self, made: tuple[str, dict]) -> None:
        rows = made[1]["treatment"]
        shown = [
            f"{row['over_treatment']:.2%} {row['under_treatment']:.2%} {row['number_needed_to_treat']:.2f}"
            for row in rows.values()
        ]
        assert shown == ["2.09% 2.51% 2.19", "12.97% 17.57% 5.09"]

    def test_diffuse_lauren_has_the_opposite_sign_of_the_printed_table(self, made: tuple[str, dict]) -> None:
        nomogram = made[1]["nomogram"]
        assert nomogram["published"]["coefficients"]["lauren_diffuse"] == 1.06
        for fit in nomogram["refit"].values():
            value, error = fit["coefficients"]["lauren_diffuse"], fit["standard_errors"]["lauren_diffuse"]
            assert value < -4 * error

    def test_patients_left_out_are_ranked_worse_than_those_fitted_on(self, made: tuple[str, dict]) -> None:
        score = made[1]["rad_score"]
        assert 0.6 < score["c_index_left_out"] < score["c_index_fitted"]

    def test_the_page_in_docs_is_the_one_the_command_makes(self, made: tuple[str, dict]) -> None:
        assert (REPOSITORY / "docs" / "reproduction.md").read_text() == made[0]
