"""Training by the bundle's configuration, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.bundle import BUNDLE
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _without_seeds_afterwards() -> Iterator[None]:
    yield
    set_determinism(None)


def train(cohort: Path, folder: Path, **settings: Any) -> dict[str, torch.Tensor]:
    """Train two steps and return the weights."""
    workflow = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / f"{name}.yaml") for name in ("train", "demo")],
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        workflow_type="train",
        bundle_root=str(BUNDLE),
        dataset_dir=str(cohort),
        ckpt_dir=str(folder),
        max_epochs=1,
        batch_size=4,
        **settings,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    state: dict[str, torch.Tensor] = torch.load(folder / "model.pt", weights_only=True)
    return state


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(cohort: Path, tmp_path: Path) -> None:
    first, again, other = (
        train(cohort, tmp_path / name, seed=seed) for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    for name, value in first.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    assert any(not torch.equal(other[name], value) for name, value in first.items() if value.is_floating_point())
