"""The split by patient: shares, balance, and that it is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gastromap.cohort.splitting import SplitPlan, Stratum, assign_splits, read_split, split_csv
from gastromap.errors import UsageError


def patients(count: int, seed: int = 0, prefix: str = "p") -> dict[str, Stratum]:
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}{k}": Stratum(f"T{rng.integers(1, 5)}", f"centre {rng.integers(1, 4)}", f"{prefix}{k}")
        for k in range(count)
    }


class TestAssignSplits:
    @pytest.mark.parametrize("count", [7, 40, 953])
    def test_all_stages_and_centres_have_the_shares_within_two_patients(self, count: int) -> None:
        everybody = patients(count)
        splits = assign_splits(everybody, SplitPlan((70, 15, 15)))
        for key in (lambda s: "all", lambda s: s.stage, lambda s: (s.stage, s.centre)):
            groups = Counter(key(stratum) for stratum in everybody.values())
            found = Counter((key(everybody[patient]), split) for patient, split in splits.items())
            for group, number in groups.items():
                for split, share in (("training", 0.7), ("validation", 0.15), ("test", 0.15)):
                    assert abs(found[group, split] - share * number) <= 2

    def test_the_same_seed_gives_the_same_split_in_any_order_and_another_seed_another(self) -> None:
        everybody = patients(60)
        turned = dict(reversed(everybody.items()))
        assert assign_splits(everybody, SplitPlan()) == assign_splits(turned, SplitPlan())
        assert assign_splits(everybody, SplitPlan()) != assign_splits(everybody, SplitPlan(seed=1))

    def test_patients_keep_their_split_when_others_come_and_go(self) -> None:
        first = assign_splits(patients(50), SplitPlan())
        later = {**patients(50), **patients(50, seed=1, prefix="q")}
        del later["p3"]
        second = assign_splits(later, SplitPlan(seed=9), frozen=first)
        assert {patient: second[patient] for patient in first} == first
        assert len(second) == 100
        assert 13 <= Counter(second.values())["test"] <= 17

    def test_a_test_centre_is_test_as_a_whole_and_nothing_else_is_if_the_share_is_zero(self) -> None:
        everybody = patients(60)
        splits = assign_splits(everybody, SplitPlan((80, 20, 0), test_centres=("centre 3",)))
        test = {patient for patient, split in splits.items() if split == "test"}
        assert test == {patient for patient, stratum in everybody.items() if stratum.centre == "centre 3"}

    def test_a_test_centre_with_patients_already_in_training_is_refused(self) -> None:
        everybody = patients(60)
        frozen = assign_splits(everybody, SplitPlan())
        with pytest.raises(UsageError, match="SPLIT_FROZEN"):
            assign_splits(everybody, SplitPlan(test_centres=("centre 1",)), frozen=frozen)

    @pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
    def test_impossible_shares_are_refused(self, shares: tuple[float, float, float]) -> None:
        with pytest.raises(UsageError, match="SPLIT_SHARES"):
            SplitPlan(shares)


class TestFile:
    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        splits = {"P-2": "test", "P-1": "training"}
        (tmp_path / "split.csv").write_text(split_csv(splits))
        assert read_split(tmp_path / "split.csv") == splits

    @pytest.mark.parametrize("text", ["patient_id,split\na,dev\n", "patient_id,split\na,test\na,training\n", "x\n1\n"])
    def test_a_damaged_file_is_refused_instead_of_split_anew(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "split.csv").write_text(text)
        with pytest.raises(UsageError, match="SPLIT_INVALID"):
            read_split(tmp_path / "split.csv")
