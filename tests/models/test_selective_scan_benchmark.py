"""What the benchmark of the selective scan measures and accepts."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.scan import CASES, judge
from benchmarks.scan_case import FORMS, Measured, measure, relative_errors

# Design measurement at 16,384 steps: repaired 5.80 s, mambapy 1.80 s and 802 MB, block 0.60 s and 254 MB.
_LONG = CASES[-1]
_AS_DESIGNED = {"repaired": Measured(5.8, 937), "mambapy": Measured(1.8, 802), "block": Measured(0.6, 254)}


def test_the_figures_of_the_design_are_accepted() -> None:
    verdicts = judge(_LONG, _AS_DESIGNED, {})
    assert [round(verdict.found, 2) for verdict in verdicts] == [9.67, 3.0, 0.32, 254]
    assert all(verdict.passed for verdict in verdicts)


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"block": Measured(0.95, 254)}, ["time of mambapy"]),
        ({"block": Measured(0.6, 330)}, ["memory in MB"]),
        ({"block": Measured(0.6, 400)}, ["memory to mambapy", "memory in MB"]),
        ({"native": Measured(0.2, 100)}, ["time of mambapy"]),
    ],
)
def test_a_slow_or_hungry_backend_is_not(changed: dict[str, Measured], failed: list[str]) -> None:
    verdicts = judge(_LONG, _AS_DESIGNED | changed, {})
    assert [verdict.what.split(", ")[-1] for verdict in verdicts if not verdict.passed] == failed


def test_a_larger_error_than_allowed_is_not_accepted() -> None:
    case = dataclasses.replace(_LONG, faster={})
    *_, small, large = judge(case, _AS_DESIGNED, {"block": 0.9e-5, "native": 1.1e-5})
    assert small.passed
    assert not large.passed


def test_all_forms_compute_the_same() -> None:
    errors = relative_errors(40, 8, [form for form in FORMS if form != "native"])
    assert max(errors.values()) < 1e-5


def test_a_case_has_time_and_memory() -> None:
    found = measure("block", 64, 8)
    assert 0 < found.seconds < 10
    assert found.peak_mb >= 0
