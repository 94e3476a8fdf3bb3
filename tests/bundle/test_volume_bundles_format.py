"""The files of the bundles for volumes against MONAI's schema and the first bundle."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from builders.bundle import REPOSITORY

BUNDLES = REPOSITORY / "bundles"


@pytest.fixture(params=["gastric_tumor_segmentation", "gastric_longitudinal_survival"])
def bundle(request: pytest.FixtureRequest) -> Path:
    """Each of the bundles."""
    return BUNDLES / str(request.param)


def _metadata(bundle: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((bundle / "configs" / "metadata.json").read_text())
    return content


def test_the_metadata_follow_the_schema_they_name(bundle: Path) -> None:
    schema = json.loads((Path(__file__).parent / "meta_schema_20240725.json").read_text())
    metadata = _metadata(bundle)
    jsonschema.validate(metadata, schema)
    assert metadata["version"] in metadata["changelog"]  # type: ignore[operator]


def test_its_versions_are_those_of_the_first_bundle(bundle: Path) -> None:
    metadata, other = _metadata(bundle), _metadata(BUNDLES / "gastric_tstage_classification")
    for key in ("monai_version", "pytorch_version", "numpy_version", "required_packages_version"):
        assert metadata[key] == other[key]


def test_the_zoo_files_are_there_and_small(bundle: Path) -> None:
    for path in ("LICENSE", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"):
        assert (bundle / path).is_file()
    assert max(p.stat().st_size for p in bundle.rglob("*") if p.is_file()) <= 25_000_000
    for path in (bundle / "configs").glob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict)
