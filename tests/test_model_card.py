"""Weights, their card and their hash belong together, or are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from builders.bundle import make_bundle

from gastromap.bundle import Bundle
from gastromap.errors import ExitCode, ModelError
from gastromap.model_card import ModelCard, sha256_of


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path) / "gastric_tstage_classification"


def edit(path: Path, **values: object) -> None:
    content = json.loads(path.read_text())
    content.update(values)
    path.write_text(json.dumps(content))


class TestLoading:
    def test_published_weights_are_loaded_bit_by_bit(self, bundle: Path) -> None:
        card = ModelCard.read(bundle / "models")
        stored = torch.load(bundle / "models" / "model.pt", weights_only=True)
        for name, value in card.load_weights(bundle / "models").state_dict().items():
            torch.testing.assert_close(value, stored[name], rtol=0, atol=0)

    def test_half_precision_weights_are_widened(self, bundle: Path) -> None:
        path = bundle / "models" / "model.pt"
        state = torch.load(path, weights_only=True)
        torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
        edit(bundle / "models" / "model.json", weights_sha256=sha256_of(path))
        net = ModelCard.read(bundle / "models").load_weights(bundle / "models")
        assert net.conv1.weight.dtype is torch.float32

    def test_changed_weights_are_refused(self, bundle: Path) -> None:
        with (bundle / "models" / "model.pt").open("ab") as stream:
            stream.write(b"\0")
        with pytest.raises(ModelError, match="WEIGHTS_HASH"):
            ModelCard.read(bundle / "models").load_weights(bundle / "models")

    def test_missing_weights_are_refused(self, bundle: Path) -> None:
        (bundle / "models" / "model.pt").unlink()
        with pytest.raises(ModelError, match="WEIGHTS_MISSING") as caught:
            ModelCard.read(bundle / "models").load_weights(bundle / "models")
        assert caught.value.exit_code is ExitCode.MODEL

    def test_weights_of_another_depth_are_refused(self, bundle: Path) -> None:
        edit(bundle / "models" / "model.json", network={"depth": 50, "in_channels": 1, "num_classes": 4})
        with pytest.raises(ModelError, match="WEIGHTS_MISMATCH"):
            ModelCard.read(bundle / "models").load_weights(bundle / "models")

    def test_a_pickle_is_never_executed(self, bundle: Path, tmp_path: Path) -> None:
        marker = tmp_path / "executed"

        class Hostile:
            def __reduce__(self):
                return (Path.touch, (marker,))

        path = bundle / "models" / "model.pt"
        path.write_bytes(pickle.dumps(Hostile()))
        edit(bundle / "models" / "model.json", weights_sha256=sha256_of(path))
        with pytest.raises(ModelError, match="WEIGHTS_MISMATCH"):
            ModelCard.read(bundle / "models").load_weights(bundle / "models")
        assert not marker.exists()


class TestBelongingTogether:
    def test_weights_do_not_run_with_the_other_profile(self, bundle: Path) -> None:
        edit(
            bundle / "models" / "model.json",
            preprocessing={"name": "released", "channels": 3, "field_mm": None, "intensity": "imagenet"},
        )
        with pytest.raises(ModelError, match="input channels"):
            ModelCard.read(bundle / "models").build()

    def test_a_calibration_of_other_weights_is_refused(self, bundle: Path) -> None:
        edit(bundle / "models" / "calibration.json", weights_sha256="0" * 64)
        with pytest.raises(ModelError, match="CALIBRATION_MISMATCH"):
            Bundle.read(bundle)

    def test_a_folder_without_a_bundle_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="BUNDLE_MISSING"):
            Bundle.find(tmp_path / "nowhere")

    def test_other_classes_than_t_stages_are_refused(self, bundle: Path) -> None:
        path = bundle / "configs" / "metadata.json"
        content = json.loads(path.read_text())
        content["network_data_format"]["outputs"]["pred"]["channel_def"] = {"0": "A", "1": "B", "2": "C", "3": "D"}
        path.write_text(json.dumps(content))
        with pytest.raises(ModelError, match="BUNDLE_METADATA"):
            Bundle.read(bundle)
