"""``gastromap audit``: what it finds, what it leaves alone, and its exit code."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from gastromap.cli import main
from gastromap.cohort.similarity import fingerprint, near_duplicates

FOUND = 4


@pytest.fixture
def cohort(slice_cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(slice_cohort, tmp_path / "cohort"))


@pytest.fixture
def change(cohort: Path) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    def apply(edit: Callable[[dict[str, Any]], None]) -> None:
        content = json.loads((cohort / "datalist.json").read_text())
        edit(content)
        (cohort / "datalist.json").write_text(json.dumps(content))

    return apply


@pytest.fixture
def audit(cohort: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main(["audit", str(cohort), "--json", "--quiet", *arguments])
        report = json.loads(capsys.readouterr().out)
        return code, {finding["code"]: finding for finding in report["findings"]}

    return run


class TestDatalist:
    def test_a_clean_one_is_clean(self, audit: Any) -> None:
        assert audit() == (0, {})

    def test_a_patient_on_both_sides_is_counted_and_not_named(self, audit: Any, change: Any, capsys: Any) -> None:
        change(lambda content: content["test"].append(content["training"][0]))
        code, found = audit()
        assert code == FOUND
        assert found["PATIENT_ON_BOTH_SIDES"]["message"] == "1 of 5 patients of test also in training"
        assert "SYNTHETIC" not in json.dumps(found)

    def test_a_patient_with_two_stages(self, audit: Any, change: Any) -> None:
        def edit(content: dict[str, Any]) -> None:
            first = content["training"][0]
            content["training"].append({**first, "label": (first["label"] + 1) % 4})

        change(edit)
        code, found = audit()
        assert code == FOUND
        assert found["PATIENT_LABEL_CONFLICT"]["examples"] == ["training 1", "training 7"]

    def test_missing_and_damaged_images(self, audit: Any, cohort: Path) -> None:
        first, second = sorted((cohort / "images").iterdir())[:2]
        first.unlink()
        second.write_bytes(b"damaged")
        _, found = audit()
        assert {code: finding["number"] for code, finding in found.items()} == {
            "IMAGE_MISSING": 1,
            "IMAGE_UNREADABLE": 1,
        }

    def test_slices_of_one_patient_on_one_side_may_resemble_each_other(self, audit: Any, change: Any) -> None:
        change(lambda content: content["training"].append(content["training"][0]))
        assert audit() == (0, {})


class TestImages:
    @pytest.mark.parametrize(
        "copied",
        [
            lambda hu: hu,
            lambda hu: hu + np.random.default_rng(0).normal(0, 15, hu.shape),
            lambda hu: np.round((np.clip(hu, -125, 225) + 125) / 350 * 255) / 255 * 350 - 125 - 900 * (hu < -800),
            lambda hu: np.clip(hu, -60, 140) - 900 * (hu < -800),
        ],
        ids=["copy", "noise", "8 bit", "window"],
    )
    def test_an_image_of_another_patient_on_another_side_is_found(
        self, copied: Any, audit: Any, cohort: Path, change: Any
    ) -> None:
        content = json.loads((cohort / "datalist.json").read_text())
        source, target = content["training"][0], content["test"][0]
        stored: Any = nibabel.load(cohort / source["image"])
        changed = np.rint(copied(np.asarray(stored.dataobj, np.float32))).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(changed, stored.affine), cohort / target["image"])
        change(lambda now: now["test"][0].update(label=(source["label"] + 1) % 4))
        code, found = audit()
        assert code == FOUND
        assert found["NEAR_DUPLICATES_ACROSS"]["number"] == 2
        assert found["NEAR_DUPLICATES_ACROSS"]["examples"][0].startswith("training 1 and test 1 (r = ")
        assert found["IMAGE_LABEL_CONFLICT"]["number"] == 2
        assert "NEAR_DUPLICATES_WITHIN" not in found

    def test_they_are_not_compared_if_told_so(self, audit: Any, cohort: Path) -> None:
        first, second = sorted((cohort / "images").iterdir())[:2]
        shutil.copy(first, second)
        assert audit("--no-images") == (0, {})


class TestClinicalValues:
    def test_impossible_ones_are_found_with_their_rows(self, audit: Any, cohort: Path) -> None:
        lines = (cohort / "clinical.csv").read_text().splitlines()
        names = lines[0].split(",")
        for row, name, value in ((1, "tumour_size_cm", "48"), (2, "age_years", "-3"), (3, "lauren", "none of them")):
            cells = lines[row].split(",")
            cells[names.index(name)] = value
            lines[row] = ",".join(cells)
        (cohort / "clinical.csv").write_text("\n".join(lines))
        code, found = audit()
        assert code == FOUND
        assert set(found) == {"CLINICAL_IMPOSSIBLE"}

    def test_a_stage_that_is_not_the_label(self, audit: Any, change: Any) -> None:
        change(lambda content: content["training"][0].update(label=(content["training"][0]["label"] + 1) % 4))
        _, found = audit()
        assert found["CLINICAL_LABEL_CONFLICT"]["number"] == 1


class TestNearDuplicates:
    def test_the_pairs_are_those_of_a_plain_loop(self) -> None:
        rng = np.random.default_rng(3)
        base = rng.normal(size=(20, 1024))
        prints = np.concatenate([base, base + rng.normal(size=base.shape) * 0.2]).astype(np.float32)
        prints /= np.linalg.norm(prints, axis=1)[:, None]
        groups = np.arange(40) % 19
        pairs, values = near_duplicates(prints, groups, threshold=0.9)
        expected = {
            (i, j): float(prints[i] @ prints[j])
            for i in range(40)
            for j in range(i + 1, 40)
            if groups[i] != groups[j] and prints[i] @ prints[j] >= 0.9
        }
        assert {tuple(pair) for pair in pairs.tolist()} == set(expected)
        assert list(values) == sorted(values, reverse=True)

    def test_five_thousand_images_take_seconds(self) -> None:
        prints = np.random.default_rng(0).normal(size=(5000, 1024)).astype(np.float32)
        prints /= np.linalg.norm(prints, axis=1)[:, None]
        start = time.perf_counter()
        assert len(near_duplicates(prints, np.arange(5000))[0]) == 0
        assert time.perf_counter() - start < 15

    def test_empty_slices_resemble_nothing(self) -> None:
        assert not fingerprint(np.full((64, 64), -1024.0)).any()


class TestTables:
    def test_neighbouring_slices_on_two_sides_are_one_patient(self, tmp_path: Path, capsys: Any) -> None:
        (tmp_path / "a.csv").write_text("image,label\nD:\\x\\1_P7.nii.png,0\nD:\\x\\2_P8.nii.png,1\n")
        (tmp_path / "b.csv").write_text("SlicePath,PathT\ny/1_P7.nii_+01.png,0\n")
        command = ["audit", "--split", f"training={tmp_path / 'a.csv'}", "--split", f"test={tmp_path / 'b.csv'}"]
        assert main([*command, "--quiet"]) == FOUND
        said = capsys.readouterr().out
        assert "1 of 1 patients of test also in training" in said
        assert "not compared" in said
        assert "P7" not in said

    @pytest.mark.parametrize(
        "arguments", [[], ["DATA", "--split", "a=b"], ["--split", "a"], ["--split", "a=/nowhere.csv"]]
    )
    def test_wrong_arguments_have_exit_code_2(self, arguments: list[str], capsys: Any) -> None:
        assert main(["audit", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    @pytest.mark.realdata
    def test_the_released_split_shares_177_of_179_test_patients_with_training(
        self, real_data: Path, capsys: Any
    ) -> None:
        """T-stage design, section 2: 1,192 slices of 358 patients, split by slice; clinical rows differ by slice."""
        folder = real_data / "gtrnet_release"
        command = ["audit", "--json", "--quiet", "--clinical", str(folder / "clinical_train.csv")]
        command += ["--split", f"training={folder / 'train_predictions_resnet152.csv'}"]
        assert main([*command, "--split", f"test={folder / 'test.csv'}"]) == FOUND
        report = json.loads(capsys.readouterr().out)
        found = {finding["code"]: finding for finding in report["findings"]}
        assert found["PATIENT_ON_BOTH_SIDES"]["message"] == "177 of 179 patients of test also in training"
        assert report["sides"]["training"] == {"entries": 953, "patients": 356}
        assert report["sides"]["test"] == {"entries": 239, "patients": 179}
        assert found["CLINICAL_ROWS_DIFFER"]["number"] > 0
