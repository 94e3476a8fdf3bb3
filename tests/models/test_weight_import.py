"""Weights from outside: torchvision's networks stand in for the released file; hostile pickles are refused."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from builders.bundle import BUNDLE
from PIL import Image
from torchvision import models as torchvision_models
from torchvision import transforms

import gastromap.weight_import as weight_import
from app.__main__ import main as run_app
from gastromap.bundle import Bundle
from gastromap.cli import main
from gastromap.errors import GastromapError, ModelError
from gastromap.models import GTRNet
from gastromap.preprocessing import PreprocessingProfile, SlicePreprocessing
from gastromap.weight_import import read_weights


def resnet(depth: int, classes: int = 4) -> torch.nn.Module:
    torch.manual_seed(depth)
    network = torchvision_models.get_model(f"resnet{depth}", num_classes=classes).train()
    with torch.no_grad():  # running means and variances that are not the initial ones
        network(torch.randn(2, 3, 64, 64))
    return network.eval()


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def imported(file: Path, out: Path, *options: str) -> int:
    return main(["import-weights", str(file), "--out", str(out), "--bundle", str(BUNDLE), *options])


class TestForms:
    @pytest.mark.parametrize("depth", [18, 50, 152])
    def test_the_imported_network_gives_the_outputs_of_torchvisions(self, depth: int, tmp_path: Path) -> None:
        reference = resnet(depth)
        file = saved(reference, tmp_path / "whole.pth")
        assert imported(file, tmp_path / "out") == 0
        bundle = Bundle.read(tmp_path / "out")
        assert bundle.identity.network == f"ResNet-{depth}"
        x = torch.randn(2, 3, 224, 224)
        with torch.inference_mode():
            ours, theirs = bundle.card.load_weights(bundle.models)(x), reference(x)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(
        ("wrap", "form"),
        [
            (lambda net: net.state_dict(), "state dict"),
            (lambda net: {f"module.{k}": v for k, v in net.state_dict().items()}, "state dict"),
            (lambda net: {k: v for k, v in net.state_dict().items() if "tracked" not in k}, "state dict"),
            (lambda net: {"model_state_dict": net.state_dict(), "epoch": 3, "loss": np.float64(0.5)}, "checkpoint"),
            (lambda net: {"state_dict": net.state_dict()}, "checkpoint"),
            (lambda net: {"model": net}, "checkpoint"),
            (lambda net: net, "whole model"),
            (torch.nn.DataParallel, "whole model"),
        ],
    )
    def test_every_usual_form_holds_the_same_weights(self, wrap: Any, form: str, tmp_path: Path) -> None:
        network = resnet(18)
        found = read_weights(saved(wrap(network), tmp_path / "file.pth"))
        assert (found.depth, found.classes, found.form) == (18, 4, form)
        for name, value in network.state_dict().items():
            if name in found.state:
                torch.testing.assert_close(found.state[name], value, rtol=0, atol=0)
        assert set(network.state_dict()) - set(found.state) in (
            set(),
            {name for name in network.state_dict() if "tracked" in name},
        )

    def test_the_old_file_format_is_read_too(self, tmp_path: Path) -> None:
        state = resnet(18).state_dict()
        file = saved(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        assert read_weights(file).depth == 18

    def test_half_precision_is_widened(self, tmp_path: Path) -> None:
        found = read_weights(saved(resnet(18).half().state_dict(), tmp_path / "half.pth"))
        assert found.state["conv1.weight"].dtype is torch.float32


class Traitor:
    """Unpickling it plainly would create the file."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return open, (self.mark, "w")


class TestHostileFiles:
    @pytest.mark.parametrize("where", ["alone", "in a checkpoint", "in a network"])
    def test_a_pickle_that_would_run_code_is_refused_without_running_it(self, where: str, tmp_path: Path) -> None:
        mark = tmp_path / "executed"
        network = resnet(18)
        network.traitor = Traitor(mark)
        content = {
            "alone": Traitor(mark),
            "in a checkpoint": {"model_state_dict": resnet(18).state_dict(), "args": Traitor(mark)},
            "in a network": network,
        }[where]
        file = saved(content, tmp_path / "file.pth")
        with pytest.raises(ModelError, match="WEIGHTS_FOREIGN"):
            read_weights(file)
        assert not mark.exists()
        # The test is worth something: plain unpickling does run it.
        torch.load(file, weights_only=False)
        assert mark.exists()

    @pytest.mark.parametrize(
        "content",
        [
            argparse.Namespace(a=1),
            {},
            {"conv1.weight": torch.zeros(3)},
            [1, 2],
            torch.nn.Linear(2, 2),
            {"model": {"model": {"model": {}}}},
        ],
    )
    def test_other_content_is_refused_in_one_line(self, content: Any, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="WEIGHTS_FOREIGN") as caught:
            read_weights(saved(content, tmp_path / "file.pth"))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"a": 1}), b"PK\x03\x04broken"])
    def test_files_that_are_not_torch_files_are_refused(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "file.pth").write_bytes(content)
        with pytest.raises(ModelError, match="WEIGHTS_FOREIGN"):
            read_weights(tmp_path / "file.pth")
        with pytest.raises(ModelError, match="no such file"):
            read_weights(tmp_path / "absent.pth")

    def test_a_container_that_holds_itself_ends(self, tmp_path: Path) -> None:
        checkpoint: dict[str, Any] = {}
        checkpoint["model"] = checkpoint
        network = resnet(18)
        network.layer1[0].downsample = torch.nn.Sequential()
        network.layer1[0].downsample._modules["0"] = network
        for content in (checkpoint, network):
            with pytest.raises(ModelError, match="WEIGHTS_FOREIGN"):
                read_weights(saved(content, tmp_path / "file.pth"))

    def test_wrong_shapes_and_numbers_are_refused(self, tmp_path: Path) -> None:
        changes = {
            "fc.bias": torch.zeros(3),
            "conv1.weight": torch.zeros(1).expand(10**6, 10**6),
            "bn1.weight": torch.full((64,), torch.nan),
            "bn1.bias": torch.zeros(64, dtype=torch.int64),
        }
        for name, value in changes.items():
            state = {**resnet(18).state_dict(), name: value}
            with pytest.raises(ModelError, match="WEIGHTS_FOREIGN"):
                read_weights(saved(state, tmp_path / "file.pth"))

    @pytest.mark.parametrize("name", ["resnet34", "resnet101", "resnext50_32x4d", "wide_resnet50_2", "vgg11"])
    def test_another_architecture_is_refused(self, name: str, tmp_path: Path) -> None:
        with torch.device("meta"):
            shapes = torchvision_models.get_model(name).state_dict()
        state = {k: torch.zeros((), dtype=v.dtype).expand(v.shape) for k, v in shapes.items()}
        with pytest.raises(ModelError, match="WEIGHTS_FOREIGN"):
            read_weights(saved(state, tmp_path / "file.pth"))


class TestBundle:
    @pytest.fixture
    def published(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file that passes for the released one."""
        file = saved({"model_state_dict": resnet(50).state_dict()}, tmp_path / "file.pth")
        monkeypatch.setattr(weight_import, "PUBLISHED_SHA256", read_weights(file).sha256)
        return file

    def test_the_released_file_is_recognised_by_its_hash(
        self, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert imported(published, tmp_path / "out") == 0
        said = capsys.readouterr()
        assert "released with doi" in said.out
        assert said.err == ""
        card = Bundle.read(tmp_path / "out").card
        assert "doi 10.1038" in card.trained_on
        assert "not validated" in card.notice

    def test_another_file_is_imported_with_a_warning_and_an_honest_card(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert imported(saved(resnet(18), tmp_path / "f.pth"), tmp_path / "out") == 0
        assert capsys.readouterr().err.startswith("WARNING weights file: expected the released SHA-256 df3fc8e82b45")
        bundle = Bundle.read(tmp_path / "out")
        assert bundle.card.trained_on == "unknown (imported file)"
        assert bundle.card.training["imported_from"]["published"] is False
        assert bundle.card.preprocessing["name"] == "released"
        assert bundle.calibration.cases == 0
        assert bundle.rad_score is None

    def test_the_metadata_follow_the_schema_and_claim_nothing_of_the_shipped_model(self, tmp_path: Path) -> None:
        assert imported(saved(resnet(18), tmp_path / "f.pth"), tmp_path / "out") == 0
        metadata = json.loads((tmp_path / "out" / "configs" / "metadata.json").read_text())
        schema = Path(__file__).parents[1] / "bundle" / "meta_schema_20240725.json"
        jsonschema.validate(metadata, json.loads(schema.read_text()))
        assert "eval_metrics" not in metadata
        assert "synthetic" not in json.dumps(metadata).lower()
        assert not (tmp_path / "out" / "configs" / "demo.yaml").exists()

    def test_monai_runs_the_network_of_the_bundle(self, tmp_path: Path) -> None:
        from monai.bundle import verify_net_in_out

        assert imported(saved(resnet(18), tmp_path / "f.pth"), tmp_path / "out") == 0
        verify_net_in_out(
            net_id="network_def",
            meta_file=str(tmp_path / "out" / "configs" / "metadata.json"),
            config_file=str(tmp_path / "out" / "configs" / "inference.yaml"),
            bundle_root=str(tmp_path / "out"),
            device="cpu",
        )

    @pytest.mark.parametrize("depth", [18, 50])
    def test_the_application_runs_it_with_the_released_preprocessing(
        self, depth: int, study_folder: Path, tmp_path: Path
    ) -> None:
        network = resnet(depth)
        assert imported(saved(network, tmp_path / "f.pth"), tmp_path / "model") == 0
        arguments = ["-i", str(study_folder), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "model")]
        assert run_app([*arguments, "--key-slice", "7"]) == 0
        result = json.loads((tmp_path / "out" / "result.json").read_text())
        text = json.dumps(result)
        assert f"ResNet-{depth}" in text
        assert "released" in text
        assert sum(result["stage"]["probabilities"].values()) == pytest.approx(1, abs=1e-6)

    def test_what_the_network_sees_is_what_torchvisions_transforms_give(self) -> None:
        rng = np.random.default_rng(0)
        coarse = torch.from_numpy(rng.normal(50, 150, (1, 1, 32, 32)))
        hu = torch.nn.functional.interpolate(coarse, size=(512, 512), mode="bicubic")[0, 0].numpy()
        ours = SlicePreprocessing(PreprocessingProfile.named("released"))(hu, np.diag([0.8, 0.8, 5, 1])).tensor
        grey = Image.fromarray(np.round(np.clip((hu + 125) / 350, 0, 1) * 255).astype(np.uint8))
        steps = [transforms.Resize((224, 224)), transforms.ToTensor()]
        steps += [transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
        theirs = transforms.Compose(steps)(grey.convert("RGB"))
        # Pillow rounds to 8 bit after each of its two passes: one grey level, over the smallest SD.
        assert float((ours - theirs).abs().max()) < 1.01 / 255 / 0.224
        assert float((ours - theirs).abs().mean()) < 0.3 / 255 / 0.224

    def test_an_existing_folder_and_a_missing_template_are_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = saved(resnet(18).state_dict(), tmp_path / "f.pth")
        (tmp_path / "taken").mkdir()
        assert imported(file, tmp_path / "taken") == 12
        assert main(["import-weights", str(file), "--out", str(tmp_path / "o"), "--bundle", str(tmp_path)]) == 11
        assert [line.split()[0] for line in capsys.readouterr().err.splitlines() if "WARNING" not in line] == [
            "OUTPUT_EXISTS",
            "BUNDLE_MISSING",
        ]
        assert not (tmp_path / "o").exists()


class TestImagenet:
    def test_an_imagenet_file_becomes_a_start_for_training(self, tmp_path: Path) -> None:
        reference = resnet(18, classes=1000)
        file = saved(reference.state_dict(), tmp_path / "resnet18.pth")
        assert imported(file, tmp_path / "start.pt", "--imagenet") == 0
        net = GTRNet(depth=18, in_channels=3, imagenet_weights=tmp_path / "start.pt").eval()
        features = torch.nn.Sequential(*list(reference.children())[:-1])
        x = torch.randn(1, 3, 224, 224)
        with torch.inference_mode():
            torch.testing.assert_close(net.features(x), features(x).flatten(1), rtol=1e-5, atol=1e-5)

    def test_without_the_option_it_is_no_model_for_the_application(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = saved(resnet(18, classes=1000).state_dict(), tmp_path / "resnet18.pth")
        assert imported(file, tmp_path / "out") == 11
        assert "--imagenet" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_it_needs_no_torchvision(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = saved(resnet(18), tmp_path / "whole.pth")
        monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
        try:
            assert read_weights(file).form == "whole model"
        except GastromapError as error:
            pytest.fail(str(error))
