"""A patient on both sides of a split is refused; the released split is such a one."""

from __future__ import annotations

import csv
import re

import pytest

from gastromap.errors import UsageError
from gastromap.evaluation.splits import check_patient_split


def side(*patients: object) -> list[dict[str, object]]:
    return [{"image": f"{k}.nii", "patient_id": patient} for k, patient in enumerate(patients)]


class TestSplitByPatient:
    def test_separate_patients_pass(self):
        check_patient_split({"training": side("a", "a", "b"), "validation": side("c"), "test": side("d")})

    @pytest.mark.parametrize("pair", [("training", "validation"), ("validation", "test"), ("training", "test")])
    def test_a_patient_on_both_sides_is_refused_and_not_named(self, pair):
        datalist = {"training": side("t"), "validation": side("v"), "test": side("x")}
        for name in pair:
            datalist[name] = datalist[name] + side("Li^Si")
        with pytest.raises(UsageError, match=r"PATIENT_ON_BOTH_SIDES.*1 of 2 patients") as caught:
            check_patient_split(datalist)
        assert "Li^Si" not in str(caught.value)

    def test_a_number_its_text_and_blanks_are_the_same_patient(self):
        with pytest.raises(UsageError, match="PATIENT_ON_BOTH_SIDES"):
            check_patient_split({"training": side(7), "test": side(" 7 ")})

    def test_folds_of_one_list_are_sides(self):
        entries = side("a", "b", "a")
        for entry, fold in zip(entries, (0, 1, 1), strict=True):
            entry["fold"] = fold
        with pytest.raises(UsageError, match="training fold 1"):
            check_patient_split({"training": entries})

    def test_text_and_numbers_of_a_decathlon_datalist_are_passed_over(self):
        check_patient_split({"name": "stomach", "numTraining": 1, "labels": {"0": "T1"}, "training": side("a")})

    @pytest.mark.parametrize("entry", ["a.nii", {"image": "a.nii"}, {"patient_id": " "}, {"patient_id": None}])
    def test_an_entry_without_patient_cannot_be_checked_and_is_refused(self, entry):
        with pytest.raises(UsageError, match="PATIENT_UNKNOWN"):
            check_patient_split({"training": [entry]})

    def test_nothing_to_check_is_refused(self):
        with pytest.raises(UsageError, match="DATALIST_EMPTY"):
            check_patient_split({"training": []})


@pytest.mark.realdata
def test_the_released_split_shares_177_of_179_test_patients_with_training(real_data):
    """T-stage design, section 2: the release was split by slice; its file names tell the patient."""
    folder = real_data / "gtrnet_release"

    def patients(name: str, column: str) -> list[dict[str, object]]:
        with (folder / name).open() as stream:
            names = [re.split(r"[\\/]", row[column])[-1] for row in csv.DictReader(stream)]
        return side(*(name.split(".nii")[0] for name in names))

    datalist = {
        "training": patients("train_predictions_resnet152.csv", "image_path"),
        "test": patients("test.csv", "PatientID"),
    }
    with pytest.raises(UsageError, match="177 of 179 patients of test also in training"):
        check_patient_split(datalist)


@pytest.mark.realdata
def test_the_1192_released_patients_are_slices_of_358(real_data):
    """T-stage design, section 2: each "patient" is a key slice or one of up to two neighbours on either side."""
    with (real_data / "gtrnet_release" / "train.csv").open() as stream:
        names = [row["PatientID"] for row in csv.DictReader(stream)]
    assert (len(names), len(set(names))) == (1192, 1192)
    assert len({name.split(".nii")[0] for name in names}) == 358
    assert all(re.fullmatch(r"[^.]+\.nii(_[+-]0[12])?\.png", name) for name in names)
