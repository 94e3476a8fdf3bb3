"""The training and explanation benchmarks run; their figures are no matter of tests."""

import json

import pytest
import torch

from benchmarks import explanation, training
from gastromap.training import best_precision

pytestmark = pytest.mark.slow


def test_the_bundle_and_the_plain_loop_train_the_same_slices(tmp_path, capsys):
    arguments = ["--depths", "18", "--images", "2", "--batch-size", "2", "--rounds", "1", "--matrix", "64"]
    assert training.main([*arguments, "--json", str(tmp_path / "t.json")]) == 0
    shown = capsys.readouterr().out
    assert f"bundle, {best_precision(torch.device('cpu'))}" in shown
    assert "bundle, float32" in shown
    found = json.loads((tmp_path / "t.json").read_text())["depth_18"]
    assert found["images"] == 2
    assert found["times_plain"][found["plain"]] == 1


def test_the_cost_of_heat_maps_is_given_as_a_ratio_to_the_forward_pass(tmp_path, capsys):
    assert explanation.main(["--depths", "18", "--rounds", "1", "--json", str(tmp_path / "e.json")]) == 0
    assert "to forward" in capsys.readouterr().out
    assert json.loads((tmp_path / "e.json").read_text())["depth_18"]["to_forward"]["forward pass alone"] == 1
