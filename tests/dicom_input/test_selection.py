"""Choosing the series: by votes, by name, between reconstructions, and what is kept of the losers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_input.series_builder import make_series, uid
from gastromap.dicom_input import GateSettings, NamedStudies, SelectedSeries, load_folder, select_series, study_roles
from gastromap.errors import Refusal, UsageError
from gastromap.volume import CtVolume


def select(folder: Path, *, limits: dict[str, object] | None = None, **choice: object) -> SelectedSeries:
    settings = GateSettings(**(limits or {}))  # type: ignore[arg-type]
    return select_series(load_folder(folder, settings=settings), settings=settings, **choice)  # type: ignore[arg-type]


class TestVotes:
    def test_text_and_timing_are_two_sources(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        record = select(tmp_path).record
        assert record.phase == "portal-venous"
        assert record.votes == {"text": "portal", "timing": "portal", "order": "no evidence", "image": "no evidence"}

    def test_the_later_of_two_phases_forty_seconds_apart_gets_the_vote_of_order(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        make_series(name="art", number=3, description="arterial", time="120030").write(tmp_path, "art")
        selected = select(tmp_path)
        assert selected.record.votes["order"] == "portal"
        assert [(item.series_number, item.votes["order"], item.phase) for item in selected.runners_up] == [
            (3, "other", "lost: too few portal votes")
        ]

    def test_the_second_of_three_phases_gets_it(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        make_series(name="art", number=3, description="arterial", time="120030").write(tmp_path, "art")
        make_series(name="late", number=4, description="delayed", time="120300").write(tmp_path, "late")
        assert select(tmp_path).record.votes["order"] == "portal"

    def test_a_bolus_time_filled_in_by_the_protocol_is_no_evidence(self, tmp_path: Path) -> None:
        make_series(bolus="120000").write(tmp_path)
        make_series(name="x", number=3, description="arterial", time="120510", bolus="120400").write(tmp_path, "x")
        with pytest.raises(Refusal, match="NO_PORTAL_SERIES"):
            select(tmp_path)

    def test_the_delay_may_pass_midnight(self, tmp_path: Path) -> None:
        make_series(bolus="235930", time="000040").write(tmp_path)
        assert select(tmp_path).record.votes["timing"] == "portal"

    def test_one_source_is_enough_if_the_settings_say_so(self, tmp_path: Path) -> None:
        make_series().remove("ContrastBolusStartTime").write(tmp_path)
        selected = select(tmp_path, limits={"min_sources": 1})
        assert "PHASE_ONE_SOURCE" in selected.warnings

    def test_the_image_vote_is_a_source(self, tmp_path: Path) -> None:
        make_series().remove("ContrastBolusStartTime").write(tmp_path)
        assert select(tmp_path, image_vote=lambda images: "portal").record.votes["image"] == "portal"

    def test_an_image_vote_against_is_a_conflict(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        with pytest.raises(Refusal, match=r"PHASE_CONFLICT .*text=portal timing=portal order=no evidence image=other"):
            select(tmp_path, image_vote=lambda images: "other")


class TestNamedSeries:
    def test_a_name_replaces_the_votes_and_is_recorded(self, tmp_path: Path) -> None:
        make_series(description="x").remove("ContrastBolusStartTime").write(tmp_path)
        selected = select(tmp_path, series_uid=uid("study", "portal"))
        assert selected.record.phase == "named by the caller"
        assert "SERIES_BY_OPERATOR" in selected.warnings

    def test_a_name_does_not_replace_the_geometry(self, tmp_path: Path) -> None:
        make_series(gap_after=7).write(tmp_path)
        with pytest.raises(Refusal, match=r"GAP .*got 1 gaps, first after z=-365"):
            select(tmp_path, series_uid=uid("study", "portal"))

    def test_an_unknown_name_is_an_error_of_usage(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        with pytest.raises(UsageError, match="SERIES_UNKNOWN"):
            select(tmp_path, series_uid="1.2.3")


class TestReconstructions:
    def test_the_thickness_nearest_the_target_wins(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        make_series(100, name="thin", number=3, step_mm=1.0).write(tmp_path, "thin")
        selected = select(tmp_path)
        assert selected.record.series_number == 2
        assert selected.runners_up[0].phase == "lost: lower rank"

    def test_the_target_is_a_setting(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        make_series(100, name="thin", number=3, step_mm=1.0).write(tmp_path, "thin")
        assert select(tmp_path, limits={"target_thickness_mm": 1.0}).record.series_number == 3

    def test_soft_comes_before_thickness(self, tmp_path: Path) -> None:
        make_series(ConvolutionKernel="B50f").write(tmp_path)
        make_series(40, name="thin", number=3, step_mm=2.5).write(tmp_path, "thin")
        assert select(tmp_path).record.series_number == 3


class TestStudies:
    def test_the_earlier_study_is_the_baseline_and_the_other_can_be_asked_for(self, tmp_path: Path) -> None:
        make_series().write(tmp_path / "b")
        make_series(study="later", AcquisitionDate="20250601").write(tmp_path / "a")
        content = load_folder(tmp_path, settings=GateSettings())
        assert study_roles(content) == {uid("study"): "baseline", uid("later"): "followup"}
        followup = select(tmp_path, role="followup")
        assert followup.record.study_instance_uid == uid("later")
        assert "ROLE_BY_DATE" in followup.warnings

    def test_one_study_has_no_followup(self, tmp_path: Path) -> None:
        make_series().write(tmp_path)
        with pytest.raises(UsageError, match="ROLE_UNKNOWN"):
            select(tmp_path, role="followup")


class TestSettings:
    def test_a_section_of_the_configuration_is_read(self) -> None:
        settings = GateSettings.from_mapping({"min_slices": 5, "min_coverage_mm": 40})
        assert (settings.min_slices, settings.min_coverage_mm) == (5, 40.0)

    @pytest.mark.parametrize(
        "section", [{"min_slice": 5}, {"min_slices": "5"}, {"min_slices": True}, {"min_slices": -1}]
    )
    def test_unknown_names_and_wrong_types_are_errors_of_usage(self, section: dict[str, object]) -> None:
        with pytest.raises(UsageError, match="CONFIG_INVALID"):
            GateSettings.from_mapping(section)

    @pytest.mark.parametrize(
        ("limits", "what"),
        [
            ({"max_files": 5}, "number of files"),
            ({"max_total_bytes": 1000}, "total bytes"),
            ({"max_file_bytes": 5000}, "file size"),
            ({"max_voxels": 1000}, "voxels"),
            ({"max_depth": 1}, "folder depth"),
        ],
    )
    def test_each_limit_refuses(
        self, limits: dict[str, object], what: str, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        make_series().write(tmp_path / "sub")
        with pytest.raises(Refusal, match=f"LIMIT_EXCEEDED .*{what}"):
            read(tmp_path, **limits)

    def test_a_missing_folder_is_an_error_of_usage(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="INPUT_NOT_FOUND"):
            load_folder(tmp_path / "absent", settings=GateSettings())


class TestNamedStudies:
    @pytest.fixture
    def two(self, tmp_path: Path) -> Path:
        make_series().write(tmp_path / "a")
        later = make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", seed=4)
        later.write(tmp_path / "b")
        return tmp_path

    def test_names_that_agree_with_the_dates_need_no_warning(self, two: Path) -> None:
        selected = select(two, named_studies=NamedStudies(baseline=uid("study"), followup=uid("later")))
        assert selected.record.study_instance_uid == uid("study")
        assert "ROLE_BY_DATE" not in selected.warnings

    def test_one_name_gives_the_other_study_the_other_role(self, two: Path) -> None:
        content = load_folder(two, settings=GateSettings())
        assert study_roles(content, NamedStudies(followup=uid("later")))[uid("study")] == "baseline"

    def test_names_against_the_dates_are_refused(self, two: Path) -> None:
        with pytest.raises(Refusal, match=r"STUDY_ROLE_AMBIGUOUS .*roles against dates"):
            select(two, named_studies=NamedStudies(baseline=uid("later")))

    def test_names_decide_where_the_dates_are_equal(self, tmp_path: Path) -> None:
        make_series().write(tmp_path / "a")
        make_series(study="later", seed=4).write(tmp_path / "b")
        selected = select(tmp_path, named_studies=NamedStudies(baseline=uid("later")))
        assert selected.record.study_instance_uid == uid("later")

    def test_of_three_studies_the_named_one_is_used(self, two: Path) -> None:
        make_series(study="third", StudyDate="20250801", AcquisitionDate="20250801", seed=5).write(two / "c")
        selected = select(two, named_studies=NamedStudies(baseline=uid("later")))
        assert selected.record.study_instance_uid == uid("later")

    @pytest.mark.parametrize(
        "named", [NamedStudies(baseline="1.2.3"), NamedStudies(baseline=uid("study"), followup=uid("study"))]
    )
    def test_an_unknown_or_doubled_study_is_a_usage_error(self, two: Path, named: NamedStudies) -> None:
        with pytest.raises(UsageError, match="STUDY_UNKNOWN"):
            select(two, named_studies=named)
