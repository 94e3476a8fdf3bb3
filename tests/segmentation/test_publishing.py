"""From two trainings to a bundle, and the figures of a finder on volumes with known tumours."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from builders.bundle import REPOSITORY
from segmentation.test_finder import _finder  # the networks that read Hounsfield units

from gastromap.cli import publish_segmentation as publish_command
from gastromap.errors import ModelError, UsageError
from gastromap.model_card import WEIGHTS_NAME, ModelCard, start_volume_card
from gastromap.models.registry import build_network
from gastromap.segmentation.finder import TumourFinder
from gastromap.segmentation.lazy import LazyTumourFinder
from gastromap.segmentation.limits import FinderLimits
from gastromap.segmentation.weights import (
    LOOK_CARD,
    LOOK_WEIGHTS,
    WALL_CARD,
    WALL_WEIGHTS,
    fine_card,
    fine_network,
    load_fine,
    shown_card,
)
from gastromap.training.segmentation_publishing import finder_metrics, publish_segmentation, publish_wall
from gastromap.training.stored_weights import store_weights

_FINE = {"type": "SegmentationNet", "preset": "tiny"}
_COARSE = {"type": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "init_filters": 8,
           "blocks_down": [1, 1], "blocks_up": [1]}  # fmt: skip


@pytest.fixture
def volumes(tmp_path: Path) -> list[dict[str, str]]:
    """Two stomachs with a tumour and one without."""
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    grid = np.stack(np.meshgrid(np.arange(90), np.arange(90), np.arange(40), indexing="ij"), axis=-1) * (2, 2, 3)
    records = []
    for number, radius in enumerate((14.0, 10.0, 0.0)):
        mask = np.zeros((90, 90, 40), np.uint8)
        mask[np.linalg.norm(grid - (60, 90, 60), axis=-1) < 35] = 1
        mask[np.linalg.norm(grid - (100, 90, 63), axis=-1) < radius] = 2
        hu = np.choose(mask, [-100, 10, 180]).astype(np.int16)
        paths = {"image": tmp_path / f"i{number}.nii.gz", "label": tmp_path / f"m{number}.nii.gz"}
        nib.save(nib.Nifti1Image(hu, affine), paths["image"])
        nib.save(nib.Nifti1Image(mask, affine), paths["label"])
        records.append({key: str(path) for key, path in paths.items()} | {"patient_id": str(number)})
    return records


def test_a_finder_that_reads_the_answer_scores_full_and_raises_no_alarm(volumes: list[dict[str, str]]) -> None:
    metrics = finder_metrics(_finder(), volumes)
    assert (metrics["volumes"], metrics["found"], metrics["key_slice_within_5_mm"]) == (2, 1.0, 1.0)
    # Its masks end before the voxels that the border shares: a voxel is 2 to 3 mm here.
    assert metrics["dice"] > 0.75
    assert (metrics["without_tumour"], metrics["false_alarms"]) == (1, 0)


def _run(folder: Path, network: dict[str, object], *, data: dict[str, int] | None = None, **profile: object) -> Path:
    torch.manual_seed(1)
    said = {"trained_on": "nothing", "notice": "A test.", "seed": 1}
    start_volume_card(folder, network=network, preprocessing=profile, **said, data=data)
    torch.save(build_network(network).state_dict(), folder / WEIGHTS_NAME)
    return folder


def _coarse_run(folder: Path) -> Path:
    return _run(folder, _COARSE, spacing_mm=[8, 8, 8], patch=[16, 32, 32], regions=["stomach", "tumour"])


def test_both_networks_are_published_in_half_precision_with_their_hashes(
    tmp_path: Path, volumes: list[dict[str, str]]
) -> None:
    trained = {"training": 7, "validation": 2, "test": 0}
    fine = _run(tmp_path / "fine", _FINE, data=trained, spacing_mm=[4, 4, 4], patch=[32, 32, 32])
    coarse = _coarse_run(tmp_path / "coarse")
    (tmp_path / "datalist.json").write_text(
        json.dumps({"training": [], "validation": volumes[:1], "test": volumes[1:]})
    )
    bundle = tmp_path / "bundles" / "gastric_tumor_segmentation"
    assert LazyTumourFinder.find(tmp_path / "bundles", device=torch.device("cpu")) is None
    metrics = publish_segmentation(fine, coarse, tmp_path, bundle, command="train it", limits={"stomach_ml": 0.0})
    card = ModelCard.read(bundle / "models")
    assert card.training["metrics"]["validation"] == metrics
    assert card.training["command"] == "train it"
    # A run that counted its own data is not said to be trained on what is searched now.
    assert card.training["data"] == trained
    searched = {"training": 0, "validation": 1, "test": 2}
    assert ModelCard.read(bundle / "models", "coarse.json").training["data"] == searched
    state = torch.load(bundle / "models" / WEIGHTS_NAME, weights_only=True)
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}
    # The windows are those of the training where none are given.
    assert TumourFinder.load(bundle / "models").limits == FinderLimits(window=(32, 32, 32), stomach_ml=0.0)
    shutil.copytree(REPOSITORY / "bundles" / bundle.name / "configs", bundle / "configs")
    lazy = LazyTumourFinder.find(tmp_path / "bundles", device=torch.device("cpu"))
    assert lazy is not None
    assert lazy.loaded.identity is not None
    assert lazy.loaded.identity.weights_sha256 == card.weights_sha256
    assert lazy.loaded.identity.preprocessing == "volume 4 x 4 x 4 mm, 32 x 32 x 32"
    # Weights of another training beside the card are refused.
    torch.save(build_network(_COARSE).state_dict(), bundle / "models" / "coarse.pt")
    with pytest.raises(ModelError, match="WEIGHTS_HASH"):
        TumourFinder.load(bundle / "models")


class TestStages:
    def test_of_several_stages_the_mean_of_the_weights_is_stored(self, tmp_path: Path) -> None:
        for name, value in (("a", 1.0), ("b", 4.0)):
            (tmp_path / name).mkdir()
            torch.save({"w": torch.full((2,), value), "n": torch.tensor(int(value))}, tmp_path / name / WEIGHTS_NAME)
        store_weights([tmp_path / "a", tmp_path / "b"], tmp_path / "mean.pt")
        state = torch.load(tmp_path / "mean.pt", weights_only=True)
        assert state["w"].tolist() == [2.5, 2.5]
        assert state["w"].dtype == torch.float16
        # The number of steps is that of the last stage.
        assert state["n"] == 4

    def test_stages_of_different_networks_are_refused(self, tmp_path: Path) -> None:
        runs = [_run(tmp_path / "fine", _FINE, spacing_mm=[4, 4, 4], patch=[32, 32, 32])]
        runs.append(_run(tmp_path / "other", _COARSE, spacing_mm=[8, 8, 8], patch=[16, 32, 32]))
        with pytest.raises(UsageError, match="stages of one network"):
            store_weights(runs, tmp_path / "mean.pt")


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PUBLISH_INPUT"):
        publish_segmentation(tmp_path, tmp_path, tmp_path, tmp_path / "bundle", command="")


class TestCommand:
    def _options(self, *limits: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        publish_command.register(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
        given = [word for limit in limits for word in ("--limit", limit)]
        return parser.parse_args(["publish-segmentation", "--fine", "F", "--coarse", "C", "--data", "D", *given])

    def test_limits_of_the_finder_are_given_by_name(self) -> None:
        options = self._options("probability=0.5", "window=32,64,96")
        wanted = FinderLimits(probability=0.5, window=(32, 64, 96))
        assert FinderLimits.from_mapping(dict(options.limit)) == wanted

    @pytest.mark.parametrize(
        "networks",
        [
            [],
            ["--fine", "F"],
            ["--coarse", "C"],
            ["--wall", "W", "--fine", "F", "--coarse", "C"],
            ["--second-look", "L"],
        ],
        ids=lambda words: " ".join(words) or "none",
    )
    def test_networks_that_make_no_bundle_together_are_refused(self, networks: list[str], tmp_path: Path) -> None:
        parser = argparse.ArgumentParser()
        publish_command.register(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
        options = parser.parse_args(["publish-segmentation", *networks, "--data", str(tmp_path)])
        with pytest.raises(UsageError, match="PUBLISH_INPUT"):
            options.run(options)

    def test_every_name_that_is_taken_is_a_limit(self) -> None:
        names = {field.name for field in dataclasses.fields(FinderLimits)}
        assert set(publish_command.LIMITS) == names

    @pytest.mark.parametrize("limit", ["size=3", "probability", "probability=high", "window=32", "window=a,b,c"])
    def test_others_are_refused(self, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            self._options(limit)
        assert "--limit" in capsys.readouterr().err


class TestSecondLook:
    """A network behind the fine one, published beside it in a file of its own."""

    @pytest.fixture
    def runs(self, tmp_path: Path, volumes: list[dict[str, str]]) -> tuple[Path, Path, Path]:
        """Trainings of fine and coarse network and of a second look behind the fine one, beside a datalist."""
        (tmp_path / "datalist.json").write_text(
            json.dumps({"training": volumes[1:], "validation": volumes[:1], "test": []})
        )
        fine = _run(tmp_path / "fine", {**_FINE, "detail": 4}, spacing_mm=[4, 4, 4], patch=[32, 32, 32])
        both = {**_FINE, "detail": 4, "second_look": 8}
        look = _run(tmp_path / "look", both, spacing_mm=[4, 4, 4], patch=[32, 32, 32])
        first = torch.load(fine / WEIGHTS_NAME, weights_only=True)
        torch.save({**torch.load(look / WEIGHTS_NAME, weights_only=True), **first}, look / WEIGHTS_NAME)
        return fine, _coarse_run(tmp_path / "coarse"), look

    @pytest.fixture
    def models(self, runs: tuple[Path, Path, Path], tmp_path: Path) -> Path:
        """All of it, published."""
        fine, coarse, look = runs
        publish_segmentation(fine, coarse, tmp_path, tmp_path / "bundle", command="it", second_look=look)
        return tmp_path / "bundle" / "models"

    def test_leaves_the_file_of_the_fine_network_as_it_was(self, runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
        fine, coarse, look = runs
        bundle = tmp_path / "bundle"
        publish_segmentation(fine, coarse, tmp_path, bundle, command="first")
        before = (bundle / "models" / WEIGHTS_NAME).read_bytes()
        published = tmp_path / "published"
        shutil.copytree(bundle / "models", published)
        metrics = publish_segmentation(published, coarse, tmp_path, bundle, command="second", second_look=look)
        assert (bundle / "models" / WEIGHTS_NAME).read_bytes() == before
        card = ModelCard.read(bundle / "models", LOOK_CARD)
        assert card.training["metrics"]["validation"] == metrics
        assert card.training["command"] == "second"
        publish_segmentation(published, coarse, tmp_path, bundle, command="third")
        assert not (bundle / "models" / LOOK_CARD).exists()
        assert not (bundle / "models" / LOOK_WEIGHTS).exists()

    def test_runs_as_it_was_trained_in_the_finder_and_in_the_bundle(
        self, runs: tuple[Path, Path, Path], models: Path, tmp_path: Path
    ) -> None:
        trained = fine_network(runs[2]).eval()
        image = torch.rand(1, 1, 32, 32, 32)
        with torch.inference_mode():
            expected = trained(image)
            for net in (load_fine(models), fine_network(models).eval()):
                torch.testing.assert_close(net(image), expected, atol=0.05, rtol=0.05)  # half precision
            assert (expected - load_fine(fine_only(models, tmp_path))(image)).abs().max() > 0.1

    def test_is_part_of_the_identity_of_the_model(self, models: Path, tmp_path: Path) -> None:
        alone = fine_card(fine_only(models, tmp_path)).weights_sha256
        assert alone == ModelCard.read(models).weights_sha256
        assert fine_card(models).weights_sha256 not in (alone, ModelCard.read(models, LOOK_CARD).weights_sha256)

    def test_behind_other_weights_is_refused(self, runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
        fine, coarse, look = runs
        state = torch.load(fine / WEIGHTS_NAME, weights_only=True)
        state["decoder.top.out.bias"] += 1
        torch.save(state, fine / WEIGHTS_NAME)
        with pytest.raises(UsageError, match=r"PUBLISH_INPUT .*behind the weights"):
            publish_segmentation(fine, coarse, tmp_path, tmp_path / "bundle", command="it", second_look=look)
        assert not (tmp_path / "bundle").exists()

    @pytest.mark.parametrize("name", [LOOK_WEIGHTS, WEIGHTS_NAME])
    def test_that_is_damaged_is_refused(self, name: str, models: Path) -> None:
        path = models / name
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(ModelError, match="WEIGHTS_HASH"):
            TumourFinder.load(path.parent)


class TestWall:
    """A network for the stomach's wall, put beside those of a published bundle."""

    @pytest.fixture
    def models(self, tmp_path: Path, volumes: list[dict[str, str]]) -> Path:
        """A bundle without it."""
        (tmp_path / "datalist.json").write_text(
            json.dumps({"training": volumes[1:], "validation": volumes[:1], "test": []})
        )
        fine = _run(tmp_path / "fine", _FINE, spacing_mm=[4, 4, 4], patch=[32, 32, 32])
        bundle = tmp_path / "bundle"
        limits = {"stomach_ml": 0.0, "probability": 0.7}
        publish_segmentation(fine, _coarse_run(tmp_path / "coarse"), tmp_path, bundle, command="first", limits=limits)
        return bundle / "models"

    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        """Its training."""
        return _run(tmp_path / "wall", {"type": "WallNet", "channels": 8}, spacing_mm=[4, 2.8, 2.8], patch=[1, 1, 1])

    def test_leaves_the_other_files_as_they_were_and_adds_its_own(
        self, models: Path, run: Path, tmp_path: Path
    ) -> None:
        before = {path.name: path.read_bytes() for path in models.iterdir()}
        metrics = publish_wall(run, tmp_path, models.parent, command="wall", limits={"wall_weight": 2.0})
        after = {path.name: path.read_bytes() for path in models.iterdir()}
        assert set(after) - set(before) == {WALL_WEIGHTS, WALL_CARD}
        assert all(after[name] == content for name, content in before.items())
        card = ModelCard.read(models, WALL_CARD)
        assert card.training["command"] == "wall"
        assert card.training["metrics"]["validation"] == metrics
        # Its limits are those of the bundle, but for what was given.
        expected = FinderLimits(window=(32, 32, 32), stomach_ml=0.0, probability=0.7, wall_weight=2.0)
        finder = TumourFinder.load(models)
        assert finder.limits == expected
        assert finder._wall is not None

    def test_in_place_of_an_earlier_one_keeps_its_limits_too(self, models: Path, run: Path, tmp_path: Path) -> None:
        publish_wall(run, tmp_path, models.parent, command="wall", limits={"wall_weight": 2.0})
        publish_wall(run, tmp_path, models.parent, command="next", limits={"wall_border": 0.5})
        expected = FinderLimits(window=(32, 32, 32), stomach_ml=0.0, probability=0.7, wall_weight=2.0, wall_border=0.5)
        assert TumourFinder.load(models).limits == expected

    def test_is_part_of_the_identity_of_the_model(self, models: Path, run: Path, tmp_path: Path) -> None:
        alone = shown_card(models)
        assert alone.weights_sha256 == fine_card(models).weights_sha256
        publish_wall(run, tmp_path, models.parent, command="wall")
        hashes = {alone.weights_sha256, ModelCard.read(models, WALL_CARD).weights_sha256}
        assert shown_card(models).weights_sha256 not in hashes

    def test_does_not_outlive_the_networks_it_was_published_with(self, models: Path, run: Path, tmp_path: Path) -> None:
        publish_wall(run, tmp_path, models.parent, command="wall")
        publish_segmentation(tmp_path / "fine", tmp_path / "coarse", tmp_path, models.parent, command="second")
        assert TumourFinder.load(models)._wall is None

    def test_that_is_damaged_is_refused(self, models: Path, run: Path, tmp_path: Path) -> None:
        publish_wall(run, tmp_path, models.parent, command="wall")
        path = models / WALL_WEIGHTS
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(ModelError, match="WEIGHTS_HASH"):
            TumourFinder.load(models)

    def test_needs_a_published_bundle_and_a_training(self, models: Path, run: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="PUBLISH_INPUT"):
            publish_wall(tmp_path, tmp_path, models.parent, command="wall")
        with pytest.raises(ModelError, match=r"MODEL_CARD|WEIGHTS_MISSING"):
            publish_wall(run, tmp_path, tmp_path / "nothing", command="wall")
        assert not (tmp_path / "nothing").exists()


def fine_only(models: Path, folder: Path) -> Path:
    """The same published weights without the second look."""
    target = folder / "without"
    target.mkdir()
    for name in (WEIGHTS_NAME, "model.json"):
        shutil.copyfile(models / name, target / name)
    return target
