"""Two studies of a patient: each gives a series, and one refusal refuses both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicom_input.series_builder import make_series, uid
from gastromap.dicom_input import GateSettings, build_volume, key_slice_requests, load_folder, select_time_points
from gastromap.errors import Refusal, UsageError


def select(folder: Path, **choice: Any) -> tuple[Any, ...]:
    settings = GateSettings()
    return select_time_points(load_folder(folder, settings=settings), settings=settings, **choice)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    make_series().write(tmp_path / "a")
    make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", seed=4).write(tmp_path / "b")
    return tmp_path


def test_two_studies_give_two_series_the_baseline_first(two: Path) -> None:
    assert [(s.role, s.record.study_instance_uid) for s in select(two)] == [
        ("baseline", uid("study")),
        ("followup", uid("later")),
    ]


def test_one_study_gives_one(tmp_path: Path) -> None:
    make_series().write(tmp_path)
    assert [s.role for s in select(tmp_path)] == ["baseline"]


def test_a_refused_follow_up_refuses_both(tmp_path: Path) -> None:
    make_series().write(tmp_path / "a")
    later = make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", description="arterial", seed=4)
    later.remove("ContrastBolusStartTime").write(tmp_path / "b")
    with pytest.raises(Refusal, match="NO_PORTAL_SERIES followup"):
        select(tmp_path)
    assert [s.role for s in select(tmp_path, only="baseline")] == ["baseline"]


def test_one_of_two_can_be_left_aside(two: Path) -> None:
    assert [s.role for s in select(two, only="followup")] == ["followup"]


def test_a_study_that_is_not_there_cannot_be_the_only_one(tmp_path: Path) -> None:
    make_series().write(tmp_path)
    with pytest.raises(UsageError, match="ROLE_UNKNOWN"):
        select(tmp_path, only="followup")


def test_a_named_series_stands_for_its_study(two: Path) -> None:
    other = make_series(
        study="later", name="art", number=3, description="arterial", StudyDate="20250401", AcquisitionDate="20250401"
    )
    other.write(two / "b" / "art")
    named = uid("later", "art")
    chosen = select(two, series_uids=[named])
    assert [s.record.phase for s in chosen] == ["portal-venous", "named by the caller"]
    assert chosen[1].record.series_instance_uid == named


def test_two_series_of_one_study_or_an_unknown_one_are_errors(two: Path) -> None:
    named = select(two)[0].record.series_instance_uid
    for series in ([named, named], ["1.2.3"]):
        with pytest.raises(UsageError, match="SERIES_UNKNOWN"):
            select(two, series_uids=series)


def test_key_slices_go_to_the_volume_that_holds_them_and_indices_to_the_first(two: Path) -> None:
    volumes = [build_volume(series, settings=GateSettings()) for series in select(two)]
    later = volumes[1].sources[3].sop_instance_uid
    assert key_slice_requests(volumes, [later, "7"]) == ("7", later)
    assert key_slice_requests(volumes, [later]) == (None, later)
    assert key_slice_requests(volumes, []) == (None, None)
    with pytest.raises(UsageError, match="KEY_SLICE_UNKNOWN"):
        key_slice_requests(volumes, ["7", "8"])
