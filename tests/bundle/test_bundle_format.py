"""The bundle's files against MONAI's schema and MONAI's own checks, offline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml
from builders.bundle import BUNDLE, make_bundle
from monai.bundle import ConfigWorkflow

import gastromap
from gastromap.bundle import Bundle
from gastromap.evaluation.stages import STAGES

METADATA = json.loads((BUNDLE / "configs" / "metadata.json").read_text())


class TestMetadata:
    def test_it_follows_the_schema_it_names(self) -> None:
        schema = json.loads((Path(__file__).parent / "meta_schema_20240725.json").read_text())
        assert METADATA["schema"].endswith("meta_schema_20240725.json")
        jsonschema.validate(METADATA, schema)

    def test_the_changelog_names_the_present_version(self) -> None:
        assert METADATA["version"] in METADATA["changelog"]

    def test_versions_are_those_of_requirements_txt(self) -> None:
        pinned = dict(
            line.split("==")
            for line in (BUNDLE.parents[1] / "requirements.txt").read_text().splitlines()
            if "==" in line and not line.startswith("#")
        )
        assert METADATA["monai_version"] == pinned["monai"]
        assert METADATA["pytorch_version"] == pinned["torch"]
        assert METADATA["numpy_version"] == pinned["numpy"]
        for package, version in METADATA["required_packages_version"].items():
            assert version == (gastromap.__version__ if package == "gastromap" else pinned[package])

    def test_classes_are_the_four_stages(self) -> None:
        assert tuple(METADATA["network_data_format"]["outputs"]["pred"]["channel_def"].values()) == STAGES


class TestFiles:
    @pytest.mark.parametrize("path", ["LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"])
    def test_the_zoo_files_are_there(self, path: str) -> None:
        assert (BUNDLE / path).is_file()

    def test_every_configuration_is_yaml(self) -> None:
        names = {
            "train",
            "evaluate",
            "inference",
            "multi_gpu_train",
            "multi_cpu_train",
            "demo",
            "crops",
            "tensorboard",
            "mlflow",
        }
        assert {p.stem for p in (BUNDLE / "configs").glob("*.yaml")} == names
        for path in (BUNDLE / "configs").glob("*.yaml"):
            assert isinstance(yaml.safe_load(path.read_text()), dict)

    def test_no_file_is_larger_than_25_megabytes(self) -> None:
        assert max(p.stat().st_size for p in BUNDLE.rglob("*") if p.is_file()) <= 25_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle")) / BUNDLE.name


class TestMonaiChecks:
    @pytest.mark.parametrize("kind", ["train", "inference"])
    def test_monai_finds_every_property(self, bundle: Path, cohort: Path, kind: str) -> None:
        workflow = ConfigWorkflow(
            config_file=[str(bundle / "configs" / f"{kind}.yaml")],
            meta_file=str(bundle / "configs" / "metadata.json"),
            workflow_type=kind,
            bundle_root=str(bundle),
            dataset_dir=str(cohort),
            **({"network_args::depth": 18} if kind == "train" else {}),
        )
        workflow.initialize()
        assert workflow.check_properties() in (None, [])

    def test_network_input_and_output_are_as_the_metadata_say(self, bundle: Path) -> None:
        from monai.bundle import verify_net_in_out

        verify_net_in_out(
            net_id="network_def",
            meta_file=str(bundle / "configs" / "metadata.json"),
            config_file=str(bundle / "configs" / "inference.yaml"),
            bundle_root=str(bundle),
            device="cpu",
        )


class TestShippedModel:
    def test_the_shipped_weights_are_those_of_their_card(self) -> None:
        bundle = Bundle.read(BUNDLE)
        bundle.card.load_weights(bundle.models)
        assert bundle.calibration.cases > 0
        assert bundle.rad_score is not None
        assert bundle.nomogram.variant == "refit"

    def test_the_card_says_synthetic_and_how_it_was_made(self) -> None:
        card = Bundle.read(BUNDLE).card
        assert card.trained_on == "synthetic"
        assert "SYNTHETIC" in card.notice
        assert {"command", "seed", "data", "metrics"} <= set(card.training)


def test_copying_the_bundle_elsewhere_keeps_it_whole(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "copy")
    assert Bundle.find(tmp_path / "copy").identity == Bundle.read(BUNDLE).identity
