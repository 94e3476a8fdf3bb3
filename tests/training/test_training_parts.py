"""The pieces of training: datalist, metrics' shapes, localisation, mixed precision, resuming."""

from __future__ import annotations

import json
import math
from pathlib import Path

import ignite
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser

from gastromap.errors import UsageError
from gastromap.models import GTRNet
from gastromap.training import (
    AutocastInferer,
    BestWeights,
    LocalisedIteration,
    best_precision,
    negative_log_likelihood,
    read_datalist,
    resume,
    scores_and_labels,
)


def write_datalist(folder: Path, **splits: list[dict[str, object]]) -> Path:
    (folder / "datalist.json").write_text(json.dumps(splits))
    return folder


def record(patient: str, label: int = 0) -> dict[str, object]:
    return {"image": f"images/{patient}.nii.gz", "label": label, "patient_id": patient}


class TestDatalist:
    def test_paths_become_absolute(self, tmp_path: Path) -> None:
        splits = read_datalist(write_datalist(tmp_path, training=[record("a")], validation=[record("b", 3)]))
        assert splits["training"][0]["image"] == str(tmp_path.resolve() / "images/a.nii.gz")
        assert splits["test"] == []

    def test_a_patient_on_both_sides_is_refused(self, tmp_path: Path) -> None:
        write_datalist(tmp_path, training=[record("a"), record("b")], validation=[record("b")])
        with pytest.raises(UsageError, match="PATIENT_ON_BOTH_SIDES"):
            read_datalist(tmp_path)

    @pytest.mark.parametrize(
        "content",
        ["", "[]", '{"training": [{"image": "a", "label": 4, "patient_id": "x"}]}', '{"training": [{"label": 1}]}'],
    )
    def test_a_damaged_datalist_is_refused_in_one_line(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "datalist.json").write_text(content)
        with pytest.raises(UsageError, match="DATALIST_INVALID") as caught:
            read_datalist(tmp_path)
        assert "\n" not in str(caught.value)

    def test_a_missing_datalist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such file"):
            read_datalist(tmp_path)


class TestMetricShapes:
    def test_always_t1_scores_a_quarter_not_five_eighths(self) -> None:
        outputs = [{"pred": torch.tensor([1.0, 0, 0, 0]), "label": k} for k in range(4)]
        metric = ignite.metrics.Accuracy()
        metric.update(scores_and_labels(outputs))
        assert metric.compute() == 0.25

    def test_the_likelihood_of_equal_probabilities_is_log_4(self) -> None:
        loss = negative_log_likelihood(torch.full((3, 4), 0.25), torch.tensor([0, 1, 2]))
        assert float(loss) == pytest.approx(torch.log(torch.tensor(4.0)).item())


class TestLocalisation:
    def test_marking_the_tumour_lowers_the_loss(self) -> None:
        torch.manual_seed(0)
        net = GTRNet(depth=18)
        step = LocalisedIteration(net, device=torch.device("cpu"))
        image, mask = torch.randn(4, 1, 224, 224), torch.zeros(4, 1, 224, 224)
        mask[..., 40:90, 120:180] = 1
        optimiser = torch.optim.Adam([*net.parameters(), *step.head_parameters()], 1e-3)
        losses = []
        for _ in range(6):
            optimiser.zero_grad()
            net(image)
            loss = step.localisation_loss(mask, torch.tensor([0, 1, 2, 3]))
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]

    def test_the_heads_are_no_part_of_the_network(self) -> None:
        net = GTRNet(depth=18)
        names = set(net.state_dict())
        LocalisedIteration(net, device=torch.device("cpu"))
        assert set(net.state_dict()) == names


class TestMixedPrecision:
    def test_logits_come_back_in_float32_and_close(self) -> None:
        torch.manual_seed(0)
        net = GTRNet(depth=18).eval()
        image = torch.randn(1, 1, 224, 224)
        with torch.inference_mode():
            exact, mixed = (AutocastInferer(dtype=d)(image, net) for d in ("float32", "bfloat16"))
        assert mixed.dtype is torch.float32
        torch.testing.assert_close(mixed, exact, rtol=0.1, atol=0.1)

    def test_float16_whose_gradients_nobody_scales_is_refused(self) -> None:
        with pytest.raises(UsageError, match="PRECISION"):
            AutocastInferer(dtype="float16")(torch.zeros(1, 1, 64, 64), torch.nn.Conv2d(1, 1, 3))

    def test_an_unknown_type_is_refused(self) -> None:
        with pytest.raises(ValueError, match="bfloat16"):
            AutocastInferer(dtype="int4")

    @pytest.mark.parametrize(
        ("instructions", "expected"),
        [
            ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
            # Here oneDNN only emulates it.
            ({"avx2": True, "avx512_f": True, "avx512_bw": True, "avx512_bf16": False}, "float32"),
            ({"avx2": True, "avx512_bf16": True}, "bfloat16"),
            ({"avx2": True, "amx_bf16": True}, "bfloat16"),
            ({"neon": True}, "float32"),
            ({"neon": True, "bf16": True}, "bfloat16"),
        ],
    )
    def test_a_processor_trains_in_bfloat16_only_with_instructions_for_it(
        self, monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], expected: str
    ) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
        assert best_precision(torch.device("cpu")) == expected

    def test_a_gpu_that_emulates_bfloat16_trains_in_float32(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
        assert best_precision(torch.device("cuda:0")) == "float32"

    def test_this_processor_computes_in_the_precision_that_is_called_best(self) -> None:
        """Against what the operating system says of it."""
        cpuinfo = Path("/proc/cpuinfo")
        if not cpuinfo.is_file():
            pytest.skip("no /proc/cpuinfo here")
        flags = set(cpuinfo.read_text().split())
        able = flags & {"avx512_bf16", "amx_bf16", "bf16"}
        assert best_precision(torch.device("cpu")) == ("bfloat16" if able else "float32")

    @pytest.mark.parametrize("bundle", ["tstage_classification", "tumor_segmentation", "longitudinal_survival"])
    def test_every_bundle_trains_in_the_best_precision_of_its_device(
        self, monkeypatch: pytest.MonkeyPatch, bundle: str
    ) -> None:
        config = Path(__file__).parents[2] / f"bundles/gastric_{bundle}/configs/train.yaml"
        for instructions, expected in (({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")):
            monkeypatch.setattr(torch.cpu, "get_capabilities", instructions.copy)
            parser = ConfigParser()
            parser.read_config(str(config))
            parser["device"] = "$torch.device('cpu')"
            assert parser.get_parsed_content("precision") == expected

    @pytest.mark.parametrize("depth", [1, 2, 3, 4])
    def test_the_deepest_maps_of_small_crops_have_the_gradients_of_float32(self, depth: int) -> None:
        torch.manual_seed(0)
        layer = torch.nn.Conv3d(48, 48, 3, padding=1, bias=False)
        image = torch.randn(2, 48, depth, 4, 4)
        layer(image).sum().backward()
        exact = layer.weight.grad.clone()  # type: ignore[union-attr]
        for _ in range(10):
            layer.zero_grad()
            # What a convolution leaves unwritten shows this.
            torch.full((layer.weight.numel() * 2,), float("nan"))
            AutocastInferer(dtype="bfloat16")(image, layer).sum().backward()
            assert torch.linalg.norm(layer.weight.grad - exact) < 0.05 * torch.linalg.norm(exact)  # type: ignore[operator]


class TestBestWeights:
    def validate(self, handler: BestWeights, value: float) -> None:
        engine = Engine(lambda e, b: None)
        engine.state.metrics = {"val_auc": value}
        handler(engine)

    def test_only_an_improvement_is_written(self, tmp_path: Path) -> None:
        net = torch.nn.Linear(2, 1)
        handler = BestWeights(net, tmp_path)
        self.validate(handler, 0.7)
        first = (tmp_path / "model.pt").read_bytes()
        with torch.no_grad():
            net.weight.add_(1)
        self.validate(handler, 0.6)
        assert (tmp_path / "model.pt").read_bytes() == first
        self.validate(handler, 0.8)
        torch.testing.assert_close(torch.load(tmp_path / "model.pt", weights_only=True)["weight"], net.weight.data)

    def test_where_the_metric_is_never_defined_the_last_epoch_is_kept(self, tmp_path: Path) -> None:
        net = torch.nn.Linear(2, 1)
        handler = BestWeights(net, tmp_path)
        for _ in range(2):
            with torch.no_grad():
                net.weight.add_(1)
            self.validate(handler, math.nan)
        torch.testing.assert_close(torch.load(tmp_path / "model.pt", weights_only=True)["weight"], net.weight.data)
        self.validate(handler, 0.1)
        first = (tmp_path / "model.pt").read_bytes()
        with torch.no_grad():
            net.weight.add_(1)
        self.validate(handler, math.nan)
        assert (tmp_path / "model.pt").read_bytes() == first

    def test_a_resumed_training_does_not_overwrite_better_weights(self, tmp_path: Path) -> None:
        net = torch.nn.Linear(2, 1)
        stopped = BestWeights(net, tmp_path)
        self.validate(stopped, 0.9)
        before = (tmp_path / "model.pt").read_bytes()
        resumed = BestWeights(torch.nn.Linear(2, 1), tmp_path)
        resumed.load_state_dict(stopped.state_dict())
        self.validate(resumed, 0.8)
        assert (tmp_path / "model.pt").read_bytes() == before


class TestResuming:
    def test_without_a_stopped_training_it_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="RESUME_MISSING"):
            resume(Engine(lambda e, b: None), {}, tmp_path)

    def test_objects_come_back_and_the_end_stays(self, tmp_path: Path) -> None:
        net = torch.nn.Linear(2, 1)
        trainer = Engine(lambda e, b: None)
        trainer.state.max_epochs, trainer.state.epoch_length = 2, 3
        trainer.run([1, 2, 3], max_epochs=2)
        torch.save(
            {"model": net.state_dict(), "trainer": trainer.state_dict()}, tmp_path / "resume_checkpoint_epoch=2.pt"
        )
        other, fresh = torch.nn.Linear(2, 1), Engine(lambda e, b: None)
        fresh.state.max_epochs, fresh.state.epoch_length = 5, 3
        resume(fresh, {"model": other, "trainer": fresh}, tmp_path)
        torch.testing.assert_close(other.weight, net.weight)
        assert fresh.state.epoch == 2
        assert fresh.state.max_epochs == 5

    def test_a_finished_training_is_not_started_again(self, tmp_path: Path) -> None:
        trainer = Engine(lambda e, b: None)
        trainer.run([1, 2, 3], max_epochs=2)
        torch.save({"trainer": trainer.state_dict()}, tmp_path / "resume_checkpoint_epoch=2.pt")
        fresh = Engine(lambda e, b: None)
        fresh.state.max_epochs, fresh.state.epoch_length = 2, 3
        with pytest.raises(UsageError, match="TRAINING_FINISHED"):
            resume(fresh, {"trainer": fresh}, tmp_path)
