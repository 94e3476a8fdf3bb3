"""Two examinations of a patient: change of size, dates, and what the longitudinal model is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders.pairs import make_longitudinal_bundle
from builders.study_result import make_study_result
from builders.study_result import make_volume as volume_of

from gastromap.comparison import LazyPredictor, Outlook, predict_outlook, study_result
from gastromap.longitudinal import CtScan, LongitudinalPredictor
from gastromap.results import Examination, Tumour
from gastromap.segmentation.measures import measure_tumour
from gastromap.staging import PreparedCase
from gastromap.volume import CtVolume


def examination(volume: CtVolume, *, radius_mm: float | None, at: tuple[float, float, float] | None = None) -> Any:
    """An examination with a ball for a tumour, in the middle unless told."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.hu.shape), indexing="ij"), -1)[..., ::-1]
    points = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    centre = points.reshape(-1, 3).mean(0) if at is None else np.asarray(at)
    if radius_mm is None:
        return Examination(volume, None, None, "no tumour found")
    mask = np.linalg.norm(points - centre, axis=-1) <= radius_mm
    spacing = (volume.step_mm, *volume.pixel_spacing_mm)
    key = make_study_result().key_slice
    tumour = Tumour("seg", mask, tuple(centre.tolist()), measure_tumour(mask, spacing, volume.hu))
    return Examination(volume, key, tumour)


@pytest.fixture
def volumes() -> tuple[CtVolume, CtVolume]:
    return volume_of(StudyDate="20240305"), volume_of(StudyDate="20240620", role="followup")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> LazyPredictor:
    models = make_longitudinal_bundle(tmp_path_factory.mktemp("pairs"))
    found = LazyPredictor.find(models, device=torch.device("cpu"))
    assert found is not None
    return found


def compared(first: Examination, second: Examination, outlook: Outlook | None = None) -> Any:
    result = make_study_result()
    case: Any = PreparedCase(first.volume, result.key_slice, (0,), 0, ())
    return study_result(
        (first, second),
        [(case, result.stage, result.grad_cam)],
        nomogram=result.nomogram,
        outlook=outlook or Outlook(None, "No model."),
        run=result.run,
    ).comparison


class TestChange:
    def test_of_size_is_relative_to_the_baseline(self, volumes) -> None:
        changes = compared(examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=10)).changes
        assert [change.name for change in changes] == ["volume_ml", "long_axis_mm", "thickness_mm"]
        volume, axis, _ = changes
        assert volume.relative == pytest.approx(volume.after / volume.before - 1)
        # A ball of half the radius; the voxels are coarse.
        assert volume.relative == pytest.approx(-7 / 8, abs=0.05)
        assert axis.relative == pytest.approx(-1 / 2, abs=0.12)

    def test_to_nothing_is_minus_one_hundred_percent(self, volumes) -> None:
        changes = compared(examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=None)).changes
        assert [(change.after, change.relative) for change in changes] == [(0.0, -1.0)] * 3

    def test_is_not_said_where_nobody_has_looked(self, volumes) -> None:
        second = replace(examination(volumes[1], radius_mm=None), searched=False)
        assert compared(examination(volumes[0], radius_mm=20), second).changes == ()

    def test_is_not_said_where_the_key_slice_is_known_and_the_size_is_not(self, volumes) -> None:
        second = replace(examination(volumes[1], radius_mm=10), tumour=None)
        assert compared(examination(volumes[0], radius_mm=20), second).changes == ()

    def test_of_dates_is_counted_in_days(self, volumes) -> None:
        first, second = (examination(volume, radius_mm=20) for volume in volumes)
        assert compared(first, second).interval_days == 107
        undated = replace(volumes[0], sources=volume_of(StudyDate=None, StudyTime=None).sources)
        assert compared(examination(undated, radius_mm=20), second).interval_days is None


class TestOutlook:
    def test_is_that_of_the_predictor_on_the_same_scans(self, volumes, predictor: LazyPredictor) -> None:
        first, second = examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=10)
        found = predict_outlook(first, second, predictor=predictor, finder=None)
        scans = [CtScan(e.volume.hu, e.volume.affine_lps, e.tumour.mask) for e in (first, second)]
        direct: LongitudinalPredictor = predictor.loaded
        assert found.result is not None
        assert found.result.outcome == direct(*scans).outcome
        assert found.result.maps is not None
        assert not found.crop_by_stomach

    def test_of_a_follow_up_without_tumour_lies_where_the_tumour_was_seen_from_the_stomach(
        self, volumes, predictor: LazyPredictor
    ) -> None:
        first, second = examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=None)
        x, y, z = first.tumour.centre_lps
        boxes = {
            id(volumes[0].hu): ((x - 30, y - 10, z - 20), (x + 10, y + 10, z + 20)),
            id(volumes[1].hu): ((0.0, 0.0, 0.0), (80.0, 40.0, 60.0)),
        }
        finder: Any = SimpleNamespace(loaded=SimpleNamespace(stomach_box=lambda hu, _: boxes[id(hu)]))
        found = predict_outlook(first, second, predictor=predictor, finder=finder)
        # Three quarters along x, in the middle of the rest.
        assert found.followup_centre_lps == pytest.approx((60.0, 20.0, 30.0))
        assert found.crop_by_stomach
        assert compared(first, second, found).followup.crop_centre_lps == found.followup_centre_lps

    @pytest.mark.parametrize("apart", [30, 60])
    @pytest.mark.parametrize("found_by_model", [(True, True), (True, False), (False, True)])
    def test_and_change_are_not_given_where_the_model_marked_another_place_of_the_stomach(
        self, volumes, predictor: LazyPredictor, apart: int, found_by_model: tuple[bool, bool]
    ) -> None:
        first, second = self._apart(volumes, apart, found_by_model)
        box = ((-100.0, -100.0, -100.0), (100.0, 100.0, 100.0))
        finder: Any = SimpleNamespace(loaded=SimpleNamespace(stomach_box=lambda *_: box))
        found = predict_outlook(first, second, predictor=predictor, finder=finder)
        comparison = compared(first, second, found)
        assert (found.result is None) == (apart == 60)
        assert (comparison.changes == ()) == (apart == 60)
        assert ("PLACES_DIFFER" in comparison.followup.warnings) == (apart == 60)
        assert ("different places" in comparison.omitted) == (apart == 60)

    def test_of_outlines_that_were_sent_is_given_wherever_they_lie(self, volumes, predictor: LazyPredictor) -> None:
        first, second = self._apart(volumes, 60, (False, False))
        finder: Any = SimpleNamespace(loaded=SimpleNamespace(stomach_box=lambda *_: ((0, 0, 0), (80, 40, 60))))
        assert predict_outlook(first, second, predictor=predictor, finder=finder).result is not None

    @staticmethod
    def _apart(volumes: Any, millimetres: int, found_by_model: tuple[bool, bool]) -> tuple[Examination, Examination]:
        first, second = examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=10)
        x, y, z = first.tumour.centre_lps
        moved = replace(second.tumour, centre_lps=(x + millimetres, y, z))
        origins = ["auto" if auto else "seg" for auto in found_by_model]
        return (
            replace(first, tumour=replace(first.tumour, origin=origins[0])),
            replace(second, tumour=replace(moved, origin=origins[1])),
        )

    @pytest.mark.parametrize("missing", ["model", "baseline", "stomach"])
    def test_is_omitted_with_a_reason(self, volumes, predictor: LazyPredictor, missing: str) -> None:
        first, second = examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=None)
        if missing == "baseline":
            first = replace(first, tumour=None)
        finder: Any = SimpleNamespace(loaded=SimpleNamespace(stomach_box=lambda *_: None))
        found = predict_outlook(first, second, predictor=None if missing == "model" else predictor, finder=finder)
        assert found.result is None
        assert {"model": "No longitudinal model", "baseline": "not outlined", "stomach": "stomach"}[missing] in (
            found.omitted
        )

    @pytest.mark.parametrize("why", ["nobody looked", "off the key slice"])
    def test_of_a_follow_up_whose_tumour_has_no_known_place_is_omitted_and_no_one_calls_it_gone(
        self, volumes, predictor: LazyPredictor, why: str
    ) -> None:
        first, second = examination(volumes[0], radius_mm=20), examination(volumes[1], radius_mm=10)
        if why == "nobody looked":
            second = replace(second, key_slice=None, tumour=None, searched=False, no_tumour="nobody looked")
        else:
            second = replace(second, tumour=None, no_tumour="the model found one elsewhere")
        finder: Any = SimpleNamespace(loaded=SimpleNamespace(stomach_box=lambda *_: ((0, 0, 0), (80, 40, 60))))
        found = predict_outlook(first, second, predictor=predictor, finder=finder)
        assert found.result is None
        assert not found.crop_by_stomach
        assert second.no_tumour in found.omitted
        assert "No tumour was found" not in found.omitted

    def test_without_weights_there_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "gastric_longitudinal_survival" / "models").mkdir(parents=True)
        assert LazyPredictor.find(tmp_path, device=torch.device("cpu")) is None

    def test_names_the_grid_that_the_model_reads(self, predictor: LazyPredictor) -> None:
        assert predictor.loaded.bundle.identity.preprocessing == "volume 4 x 4 x 4 mm, 32 x 32 x 32"
