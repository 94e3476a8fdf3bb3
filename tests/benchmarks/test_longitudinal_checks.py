"""The checks of the maps measure what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.pairs import make_longitudinal_bundle, write_pairs

from benchmarks.longitudinal_checks import filled, main, other_place


def ball(radius: float = 5.0) -> torch.Tensor:
    grid = torch.stack(torch.meshgrid(*(torch.arange(32.0),) * 3, indexing="ij"), -1)
    inside = (grid - torch.tensor([10.0, 12.0, 14.0])).norm(dim=-1) < radius
    return torch.stack([inside, inside.roll(4, 0)])


def test_a_filled_region_looks_like_its_surroundings_and_nothing_else_changes() -> None:
    region = ball()
    image = torch.where(region, 0.9, 0.3)
    assert torch.equal(filled(image, region), torch.full_like(image, 0.3))
    kept = filled(image, region & False)
    assert torch.equal(kept, image)


def test_another_place_is_as_large_and_elsewhere() -> None:
    region = ball()
    moved = other_place(region, np.random.default_rng(0))
    assert moved is not None
    assert moved.flatten(1).sum(1).tolist() == region.flatten(1).sum(1).tolist()
    assert not (moved & region).any()


def test_no_room_is_said() -> None:
    assert other_place(torch.ones(2, 8, 8, 8, dtype=torch.bool), np.random.default_rng(0)) is None


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_the_command_reports_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = make_longitudinal_bundle(tmp_path / "models")
    data = write_pairs(tmp_path / "data", training=1, validation=1, test=3)
    out = tmp_path / "checks.json"
    arguments = ["--data", str(data), "--model", str(models), "--json", str(out)]
    assert main([*arguments, "--patients", "2", "--occluded", "1", "--cube", "64"]) == 0
    report = json.loads(out.read_text())
    assert report["patients"] == 2
    for check, patients in (("tumour", 2), ("elsewhere", 2), ("occlusion", 1)):
        for target in ("lnm", "os_risk"):
            assert len(report[check][target]) == patients
    assert "Spearman of occlusion and Grad-CAM" in capsys.readouterr().out


def test_a_tumour_without_another_place_is_left_out_of_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = make_longitudinal_bundle(tmp_path / "models")
    data = write_pairs(tmp_path / "data", training=1, validation=1, test=2)
    monkeypatch.setattr("benchmarks.longitudinal_checks.other_place", lambda region, rng: None)
    out = tmp_path / "checks.json"
    assert main(["--data", str(data), "--model", str(models), "--json", str(out), "--occluded", "0"]) == 0
    report = json.loads(out.read_text())
    assert report["tumour"]["lnm"] == report["elsewhere"]["lnm"] == []
    shown = capsys.readouterr().out
    assert "0 of 0" in shown
    assert "nan" not in shown
