"""The datalist of pairs: what is read, what is refused, and that no message quotes a patient."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gastromap.errors import UsageError
from gastromap.training.pair_datalist import read_pair_datalist, targets_of


def written(folder: Path, **changes: Any) -> Path:
    """A datalist of one patient, keys changed or (None as in Python) removed."""
    for name in ("before.nii.gz", "after.nii.gz", "mask.nii.gz"):
        (folder / name).touch()
    record: dict[str, Any] = {
        "patient_id": "SECRET",
        "image1": "before.nii.gz",
        "image2": "after.nii.gz",
        "lnm": 1,
        "death": 0,
        "os_months": 34.5,
        "clinical": {"age": 61},
    }
    record |= changes
    (folder / "datalist.json").write_text(json.dumps({"meta": {"schema": 1}, "training": [record]}))
    return folder


class TestReading:
    def test_paths_become_absolute_and_labels_numbers(self, tmp_path: Path) -> None:
        (record,) = read_pair_datalist(written(tmp_path))["training"]
        assert record["image1"] == str(tmp_path / "before.nii.gz")
        assert record["label"] == [1.0, 0.0, 34.5]
        assert record["clinical"] == {"age": 61}

    def test_a_code_that_is_also_the_name_of_a_folder_stays_a_code(self, tmp_path: Path) -> None:
        (tmp_path / "1").mkdir()
        (record,) = read_pair_datalist(written(tmp_path, clinical={"borrmann": "1"}))["training"]
        assert record["clinical"] == {"borrmann": "1"}

    def test_time_without_status_is_no_label(self, tmp_path: Path) -> None:
        folder = written(tmp_path)
        content = json.loads((folder / "datalist.json").read_text())
        del content["training"][0]["death"]
        (folder / "datalist.json").write_text(json.dumps(content))
        targets = targets_of(read_pair_datalist(folder)["training"])
        assert targets[0, 0] == 1
        assert all(math.isnan(value) for value in targets[0, 1:].tolist())


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"lnm": None}, "absent values as absent keys"),
            ({"lnm": "N1"}, "lnm: expected 0 or 1"),
            ({"death": 2}, "death: expected 0 or 1"),
            ({"os_months": -1}, "months of 0 or more"),
            ({"os_months": "12"}, "months of 0 or more"),
            ({"image1": "missing.nii.gz"}, "image1: expected a NIfTI file, got no such file"),
            ({"image2": "."}, "got a folder"),
            ({"image2": "before.nii.gz"}, "another file under image2"),
            ({"mask2": "nothing.nii.gz"}, "mask2: expected a NIfTI file"),
            ({"center1": [1, 2]}, "three finite numbers"),
            ({"center1": "middle"}, "three numbers"),
            ({"clinical": 3}, "values by name"),
        ],
    )
    def test_a_record_that_cannot_be_used_is_named_by_its_number(
        self, changes: dict[str, Any], words: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match=r"DATALIST_INVALID training, record 1") as caught:
            read_pair_datalist(written(tmp_path, **changes))
        assert words in str(caught.value)
        assert not any(secret in str(caught.value) for secret in ("SECRET", "before", "missing", "N1"))

    def test_a_patient_on_both_sides_is_refused(self, tmp_path: Path) -> None:
        folder = written(tmp_path)
        content = json.loads((folder / "datalist.json").read_text())
        content["test"] = [{**content["training"][0], "patient_id": "SECRET "}]
        (folder / "datalist.json").write_text(json.dumps(content))
        with pytest.raises(UsageError, match="PATIENT_ON_BOTH_SIDES"):
            read_pair_datalist(folder)

    @pytest.mark.parametrize("content", ["", "[]", '{"training": []}', '{"training": 3}'])
    def test_a_file_without_records_is_refused(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "datalist.json").write_text(content)
        with pytest.raises(UsageError, match="DATALIST_INVALID"):
            read_pair_datalist(tmp_path)

    def test_a_record_that_is_no_object_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "datalist.json").write_text('{"training": ["P001"]}')
        with pytest.raises(UsageError, match="PATIENT_UNKNOWN"):
            read_pair_datalist(tmp_path)
