"""Options of the training: accumulation, class weights, prepared slices on disk, tracking."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandFlipd
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from gastromap.errors import UsageError
from gastromap.models import GTRNet
from gastromap.preprocessing.transforms import PrepareCtSliced
from gastromap.training import LocalisedIteration, WithValidationMetrics, cached_dataset, class_weights, local_mlflow

CPU = torch.device("cpu")


def without_batch_norm(network: nn.Module) -> nn.Module:
    """Batch normalisation sees the small batch, whatever is accumulated; a group norm sees single cases."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(8, child.num_features))
        else:
            without_batch_norm(child)
    return network


def cases(count: int, size: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randn(1, size, size, generator=generator),
            "label": number % 3,
            "mask": (torch.rand(1, size, size, generator=generator) > 0.9).float(),
        }
        for number in range(count)
    ]


def trained(make: Any, *, batch_size: int, accumulate: int, localised: bool = False, **options: Any) -> torch.Tensor:
    """Weights after two epochs of eight cases, as train.yaml trains."""
    torch.manual_seed(0)
    network = make()
    step = LocalisedIteration(network, device=CPU) if localised else None
    parameters = [*network.parameters(), *(step.head_parameters() if step else ())]
    data = cases(8, 32)
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=2,
        train_data_loader=DataLoader(data, batch_size=batch_size),
        network=network,
        optimizer=torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        loss_function=nn.CrossEntropyLoss(
            weight=class_weights("balanced", data), reduction="none", label_smoothing=0.05
        ),
        iteration_update=step,
        accumulation_steps=accumulate,
        **options,
    )
    trainer.run()
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 4))


class TestAccumulation:
    def test_four_batches_of_two_train_like_one_of_eight_also_with_class_weights(self) -> None:
        large, small, other = (
            trained(small_network, batch_size=size, accumulate=steps) for size, steps in ((8, 1), (2, 4), (2, 1))
        )
        torch.testing.assert_close(small, large, rtol=1e-5, atol=1e-6)
        assert (other - large).abs().max() > 1e-3

    def test_the_localised_step_accumulates_alike(self) -> None:
        def network() -> nn.Module:
            return without_batch_norm(GTRNet(depth=18))

        large, small = (
            trained(network, batch_size=size, accumulate=steps, localised=True) for size, steps in ((8, 1), (4, 2))
        )
        torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-5)

    def test_a_rest_at_the_end_of_an_epoch_is_not_lost(self) -> None:
        # 8 cases in batches of 2: a step after 3 batches, then one for the rest; nothing waits for the next epoch.
        taken = []
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0)
        network = without_batch_norm(GTRNet(depth=18))
        step = LocalisedIteration(network, device=CPU)
        optimiser.register_step_post_hook(lambda *_: taken.append(trainer.state.iteration))
        trainer = SupervisedTrainer(
            device=CPU,
            max_epochs=2,
            train_data_loader=DataLoader(cases(8, 32), batch_size=2),
            network=network,
            optimizer=optimiser,
            loss_function=nn.CrossEntropyLoss(),
            iteration_update=step,
            accumulation_steps=3,
        )
        trainer.run()
        assert taken == [3, 4, 7, 8]

    def test_scaled_gradients_are_unscaled_before_the_step(self) -> None:
        class Scaled(SupervisedTrainer):
            """MONAI scales on CUDA only; the step itself does not care where."""

            def __setattr__(self, name: str, value: Any) -> None:
                super().__setattr__(name, torch.amp.GradScaler("cpu") if name == "scaler" else value)

        def weights(kind: type[SupervisedTrainer]) -> torch.Tensor:
            torch.manual_seed(0)
            network = without_batch_norm(GTRNet(depth=18))
            step = LocalisedIteration(network, device=CPU)
            kind(
                device=CPU,
                max_epochs=1,
                train_data_loader=DataLoader(cases(4, 32), batch_size=2),
                network=network,
                optimizer=torch.optim.SGD(network.parameters(), lr=0.05),
                loss_function=nn.CrossEntropyLoss(),
                iteration_update=step,
                accumulation_steps=2,
            ).run()
            return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

        torch.testing.assert_close(weights(Scaled), weights(SupervisedTrainer), rtol=1e-4, atol=1e-6)


def labelled(*labels: int) -> list[dict[str, int]]:
    return [{"label": label} for label in labels]


class TestClassWeights:
    def test_balanced_weights_are_those_of_scikit_learn(self) -> None:
        labels = [0] * 5 + [1] * 3 + [2] * 11 + [3]
        expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
        np.testing.assert_allclose(class_weights("balanced", labelled(*labels)), expected, rtol=1e-6)

    def test_given_weights_keep_their_proportions_and_the_mean_over_the_records_is_one(self) -> None:
        records = labelled(0, 0, 0, 1, 2, 3)
        found = class_weights([1, 1, 2, 4], records)
        np.testing.assert_allclose(found / found[0], [1, 1, 2, 4], rtol=1e-6)
        assert sum(float(found[r["label"]]) for r in records) / 6 == pytest.approx(1)

    def test_a_stage_without_a_record_gets_no_weight_and_none_gives_none(self) -> None:
        np.testing.assert_allclose(class_weights("balanced", labelled(0, 1, 1)), [1.5, 0.75, 0, 0])
        assert class_weights(None, labelled(0)) is None

    @pytest.mark.parametrize("setting", ["equal", [1, 2, 3], [1, 1, 1, -1], [0, 0, 0, 0], [1, 1, 1, float("nan")]])
    def test_other_settings_are_refused(self, setting: Any) -> None:
        with pytest.raises(UsageError, match="CLASS_WEIGHTS"):
            class_weights(setting, labelled(0, 1, 2, 3))


class TestSlicesOnDisk:
    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        path = tmp_path / "slice.nii.gz"
        hu = np.random.default_rng(0).normal(40, 60, (64, 64, 1)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(hu, np.diag([-4.0, -4, 5, 1])), path)
        return path

    def dataset(self, image: Path, profile: str = "paper", *, disk: bool = True) -> Any:
        steps = [
            LoadImaged(keys="image", reader="NibabelReader"),
            EnsureChannelFirstd(keys="image"),
            PrepareCtSliced(keys="image", profile=profile),
            RandFlipd(keys="image", prob=0.0),
        ]
        cache = image.parent / "cache" if disk else None
        return cached_dataset([{"image": str(image), "label": 2}], Compose(steps), cache_dir=cache)

    def entries(self, image: Path) -> int:
        return len(list((image.parent / "cache").glob("*.pt")))

    def test_the_slice_from_disk_is_the_one_from_memory(self, image: Path) -> None:
        first, again = self.dataset(image)[0], self.dataset(image)[0]
        assert self.entries(image) == 1
        for item in (first, again):
            torch.testing.assert_close(item["image"], self.dataset(image, disk=False)[0]["image"], rtol=0, atol=0)
            assert item["label"] == 2
            assert Path(item["image"].meta["filename_or_obj"]) == image

    def test_it_is_read_and_not_prepared_again(self, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dataset(image)[0]
        monkeypatch.setattr(PrepareCtSliced, "__call__", lambda *_: pytest.fail("prepared again"))
        self.dataset(image)[0]

    def test_another_profile_is_not_served_the_slices_of_the_first(self, image: Path) -> None:
        assert self.dataset(image)[0]["image"].shape == (1, 224, 224)
        assert self.dataset(image, "released")[0]["image"].shape == (3, 224, 224)
        assert self.entries(image) == 2

    def test_a_changed_value_of_the_profile_or_a_changed_image_is_prepared_anew(
        self, image: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.dataset(image)[0]
        changed = self.dataset(image)
        object.__setattr__(changed.transform.transforms[2]._prepare.profile, "window_width", 400.0)
        changed.set_transform_hash(sys.modules["gastromap.training.caching"]._hash_transforms)
        changed[0]
        assert self.entries(image) == 2
        os.utime(image, (1, 1))
        self.dataset(image)[0]
        assert self.entries(image) == 3
        monkeypatch.setattr("gastromap.training.caching._code", lambda: "another version of the preprocessing")
        self.dataset(image)[0]
        assert self.entries(image) == 4

    @pytest.mark.parametrize("key", ["label", "image2", "mask1"])
    def test_a_replaced_file_is_noticed_under_whatever_key_it_stands(self, key: str, tmp_path: Path) -> None:
        file = tmp_path / "scan.nii.gz"
        file.write_bytes(b"one")
        hash_record = sys.modules["gastromap.training.caching"]._hash_record
        before = hash_record({key: str(file), "patient_id": "1"})
        file.write_bytes(b"three")
        assert hash_record({key: str(file), "patient_id": "1"}) != before


class TestTracking:
    def test_validation_figures_stand_beside_those_of_the_training_when_they_are_fresh(self) -> None:
        evaluator = Engine(lambda e, b: None)
        evaluator.state.metrics = {"val_auc": 0.75}
        seen = []
        trainer = Engine(lambda e, b: None)
        WithValidationMetrics(evaluator, interval=2).attach(trainer)
        from ignite.engine import Events

        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.append(dict(e.state.metrics)))
        trainer.run([0], max_epochs=3)
        assert seen == [{}, {"val_auc": 0.75}, {}]

    @pytest.fixture
    def mlflow(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        told = SimpleNamespace(disabled=None)

        def set_telemetry_client() -> None:
            told.disabled = os.environ.get("MLFLOW_DISABLE_TELEMETRY")

        monkeypatch.setitem(sys.modules, "mlflow.telemetry", SimpleNamespace(set_telemetry_client=set_telemetry_client))
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return told

    def test_mlflow_is_told_to_send_nothing_and_gets_a_file(self, mlflow: SimpleNamespace, tmp_path: Path) -> None:
        assert local_mlflow(tmp_path / "runs") == f"sqlite:///{tmp_path / 'runs' / 'mlruns.db'}"
        assert mlflow.disabled == "true"

    def test_a_server_in_the_environment_is_refused(
        self, mlflow: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://example.org")
        with pytest.raises(UsageError, match="TRACKING_REMOTE"):
            local_mlflow(tmp_path)

    def test_without_mlflow_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "mlflow.telemetry", raising=False)
        with pytest.raises(UsageError, match="requirements-tracking"):
            local_mlflow(tmp_path)
