"""Split patients into training, validation and test, evenly over stages and centres, and keep the split for good."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gastromap.errors import UsageError

__all__ = ["SPLITS", "SplitPlan", "Stratum", "assign_splits", "read_split", "split_csv"]

SPLITS: Final = ("training", "validation", "test")


@dataclass(frozen=True)
class SplitPlan:
    """How new patients are divided.

    Attributes
    ----------
    shares : (float, float, float)
        Of training, validation and test; not negative, sum above 0.
    test_centres : tuple of str
        Whole centres that are the (external) test.
    seed : int
    """

    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    test_centres: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.shares) != len(SPLITS) or min(self.shares) < 0 or not 0 < sum(self.shares) < float("inf"):
            raise UsageError(
                "SPLIT_SHARES",
                where="--split",
                expected="three shares, training,validation,test, for example 70,15,15",
                got="others",
                remedy="Correct the argument.",
            )


@dataclass(frozen=True)
class Stratum:
    """What a patient is balanced by; ``order`` is the identifier that decides the order of the draw."""

    stage: str
    centre: str
    order: str


def assign_splits(
    patients: Mapping[str, Stratum], plan: SplitPlan, *, frozen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give each patient a split; those that have one keep it.

    Parameters
    ----------
    patients : mapping of str to Stratum
        Patients that are to be in the datalist.
    plan : SplitPlan
    frozen : mapping, optional
        Earlier assignments; patients that are gone stay in them.

    Returns
    -------
    splits : dict
        The earlier assignments and the new ones.

    Raises
    ------
    UsageError
        ``SPLIT_FROZEN`` if a patient of a test centre is in training or validation already.

    Notes
    -----
    New patients come in the order of a hash of seed and identifier: the same table gives the same split on every
    machine. Each goes where most is owed, summed over all patients, those of the stage, and those of stage and centre
    (quota sampling); so each of these groups stays within about one patient of the shares, however small it is.
    """
    splits = dict(frozen or {})
    held_out = [p for p, s in patients.items() if s.centre in plan.test_centres]
    moved = sum(splits.get(patient, "test") != "test" for patient in held_out)
    if moved:
        raise UsageError(
            "SPLIT_FROZEN",
            where="split.csv",
            expected="the test centre in the test split only",
            got=f"{moved} of its patients in another one since an earlier run",
            remedy="Drop --test-centre, or start anew in an empty folder.",
        )
    splits.update(dict.fromkeys(held_out, "test"))
    total = sum(plan.shares)
    owed: dict[tuple[str, ...], dict[str, float]] = {}

    def groups(stratum: Stratum) -> Sequence[tuple[str, ...]]:
        return (), (stratum.stage,), (stratum.stage, stratum.centre)

    def book(stratum: Stratum, split: str | None) -> None:
        for group in groups(stratum):
            account = owed.setdefault(group, dict.fromkeys(SPLITS, 0.0))
            if split is not None:
                account[split] -= 1
                continue
            for name, share in zip(SPLITS, plan.shares, strict=True):
                account[name] += share / total

    inside = {patient: stratum for patient, stratum in patients.items() if stratum.centre not in plan.test_centres}
    for patient, stratum in inside.items():
        if patient in splits:
            book(stratum, None)
            book(stratum, splits[patient])
    new = [patient for patient in inside if patient not in splits]
    for patient in sorted(new, key=lambda name: _drawn(plan.seed, inside[name].order)):
        stratum = inside[patient]
        book(stratum, None)
        debts = {name: sum(owed[group][name] for group in groups(stratum)) for name in SPLITS}
        allowed = [name for name, share in zip(SPLITS, plan.shares, strict=True) if share > 0]
        # Rounded, so that the last bit of a sum decides nothing.
        splits[patient] = max(allowed, key=lambda name: round(debts[name], 9))
        book(stratum, splits[patient])
    return splits


def _drawn(seed: int, order: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{order}".encode("utf-8", "surrogateescape")).digest()


def read_split(path: Path) -> dict[str, str]:
    """Read ``split.csv``; empty where there is none.

    Raises
    ------
    UsageError
        ``SPLIT_INVALID``.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [(row["patient_id"], row["split"]) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise _invalid(type(error).__name__) from error
    if any(split not in SPLITS for _, split in rows) or len(dict(rows)) != len(rows):
        raise _invalid("another split, or a patient twice")
    return dict(rows)


def _invalid(got: str) -> UsageError:
    return UsageError(
        "SPLIT_INVALID",
        where="split.csv",
        expected="columns patient_id and split (training, validation or test), each patient once",
        got=got,
        remedy="Restore the file: without it earlier assignments are lost.",
    )


def split_csv(splits: Mapping[str, str]) -> str:
    """Text of ``split.csv``, sorted by patient."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("patient_id", "split"))
    writer.writerows(sorted(splits.items()))
    return text.getvalue()
