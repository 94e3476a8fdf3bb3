"""The stager without Holoscan: neighbours, votes, explanation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.bundle import make_bundle
from builders.study_result import make_volume

from gastromap.errors import UsageError
from gastromap.results import ClinicalVariables, KeySlice, NomogramOmitted, NomogramResult
from gastromap.staging import TStager, best_device
from gastromap.volume import CtVolume


@pytest.fixture(scope="module")
def stager(tmp_path_factory: pytest.TempPathFactory) -> TStager:
    return TStager.load(make_bundle(tmp_path_factory.mktemp("bundle")), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def volume() -> CtVolume:
    return make_volume()


def key(volume: CtVolume, index: int) -> KeySlice:
    return KeySlice(
        index=index,
        index_from_feet=volume.index_from_feet(index),
        sop_instance_uid=volume.sources[index].sop_instance_uid,
        position_mm=float(volume.affine_lps[2, 3]),
        origin="call_index",
    )


class TestNeighbours:
    def test_key_slice_and_the_ones_above_and_below_are_staged(self, stager, volume) -> None:
        case = stager.prepare(volume, key(volume, 2))
        assert case.indices == (1, 2, 3)
        assert case.key == 1

    @pytest.mark.parametrize(("index", "expected", "position"), [(0, (0, 1), 0), (-1, None, 1)])
    def test_at_an_end_of_the_volume_two_slices_are_used_and_that_is_said(
        self, stager, volume, index, expected, position
    ) -> None:
        last = len(volume.sources) - 1
        case = stager.prepare(volume, key(volume, index % len(volume.sources)))
        assert case.indices == (expected or (last - 1, last))
        assert case.key == position
        assert stager.stage(stager.infer(case)).confidence.slices == 2


class TestStage:
    def test_probabilities_are_the_mean_of_the_slices_and_sum_to_one(self, stager, volume) -> None:
        stage = stager.stage(stager.infer(stager.prepare(volume, key(volume, 2))))
        mean = {k: np.mean([s.probabilities[k] for s in stage.slices]) for k in stage.probabilities}
        assert stage.probabilities == pytest.approx(mean)
        assert sum(stage.probabilities.values()) == pytest.approx(1, abs=1e-6)

    def test_slices_are_listed_from_the_feet_upwards(self, stager, volume) -> None:
        flipped = replace(
            volume,
            hu=volume.hu[::-1],
            sources=volume.sources[::-1],
            affine_lps=volume.affine_lps
            @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(volume.sources) - 1], [0, 0, 0, 1.0]]),
        )
        up = stager.stage(stager.infer(stager.prepare(volume, key(volume, 2))))
        down = stager.stage(stager.infer(stager.prepare(flipped, key(flipped, len(volume.sources) - 3))))
        assert [s.sop_instance_uid for s in up.slices] == [s.sop_instance_uid for s in down.slices]
        assert up.probabilities == pytest.approx(down.probabilities, abs=1e-6)

    def test_after_treatment_no_stage_is_confident(self, stager, volume) -> None:
        before, after = (
            stager.stage(stager.infer(stager.prepare(replace(volume, role=role), key(volume, 2))))
            for role in ("baseline", "followup")
        )
        assert not after.confidence.staged
        assert "after treatment" in after.confidence.reasons[-1]
        assert after.probabilities == before.probabilities

    def test_on_a_key_slice_that_nobody_has_checked_no_stage_is_confident(self, stager, volume, monkeypatch) -> None:
        judge = type(stager.bundle).judge

        def sure(*arguments: object) -> object:
            probabilities, ballot, confidence, score = judge(*arguments)
            return probabilities, ballot, replace(confidence, staged=True, reasons=()), score

        monkeypatch.setattr(type(stager.bundle), "judge", sure)
        given, found, weak = (
            stager.stage(stager.infer(stager.prepare(volume, replace(key(volume, 2), **chosen))))
            for chosen in ({"origin": "seg"}, {"origin": "auto"}, {"origin": "auto", "weak_signs": True})
        )
        assert (given.confidence.staged, given.confidence.reasons) == (True, ())
        assert not found.confidence.staged
        assert len(found.confidence.reasons) == 1
        assert "automatic key slice" in found.confidence.reasons[0]
        assert weak.confidence.reasons[0] == found.confidence.reasons[0]
        assert "weak signs alone" in weak.confidence.reasons[1]
        assert found.probabilities == given.probabilities

    def test_the_same_slice_gives_the_same_answer_twice(self, stager, volume) -> None:
        first, second = (stager.stage(stager.infer(stager.prepare(volume, key(volume, 2)))) for _ in range(2))
        assert first == second


class TestExplanation:
    def test_the_map_lies_on_the_grid_of_the_key_slice(self, stager, volume) -> None:
        inference = stager.infer(stager.prepare(volume, key(volume, 2)))
        result = stager.explain(inference, "T2")
        assert result.heatmap.shape == volume.hu.shape[1:]
        assert result.heatmap.min() >= 0
        assert result.heatmap.max() <= 1
        assert result.index == 2

    def test_every_slice_that_was_read_has_the_map_it_would_have_as_key_slice(self, stager, volume) -> None:
        maps = stager.explain(stager.infer(stager.prepare(volume, key(volume, 2))), "T2")
        assert [item.index for item in maps.slices] == [1, 2, 3]
        for item in maps.slices:
            alone = stager.explain(stager.infer(stager.prepare(volume, key(volume, item.index))), "T2")
            np.testing.assert_allclose(item.heatmap, alone.heatmap, atol=1e-4)

    def test_it_names_the_method_and_the_layer_it_used(self, stager, volume) -> None:
        inference = stager.infer(stager.prepare(volume, key(volume, 2)))
        result = stager.explain(inference, "T2")
        assert (result.method, result.layer) == ("HiResCAM", "layer2")


class TestNomogram:
    def test_all_variables_give_a_nomogram(self, stager, volume) -> None:
        stage = stager.stage(stager.infer(stager.prepare(volume, key(volume, 2))))
        result = stager.nomogram(stage, ClinicalVariables(4.2, "poor", "diffuse"))
        assert isinstance(result, NomogramResult)
        assert sum(result.probabilities.values()) == pytest.approx(1)

    def test_a_missing_variable_is_named_not_guessed(self, stager, volume) -> None:
        stage = stager.stage(stager.infer(stager.prepare(volume, key(volume, 2))))
        result = stager.nomogram(stage, ClinicalVariables(4.2, None, "diffuse"))
        assert isinstance(result, NomogramOmitted)
        assert result.missing == ("differentiation",)


class TestDevice:
    def test_auto_takes_a_gpu_only_where_there_is_one(self) -> None:
        assert best_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")

    def test_an_unknown_device_is_an_error(self) -> None:
        with pytest.raises(UsageError, match="DEVICE_UNKNOWN"):
            best_device("abacus")


def test_the_stager_needs_no_weights_of_the_repository(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="BUNDLE_MISSING"):
        TStager.load(tmp_path)
