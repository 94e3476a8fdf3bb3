"""Prepare a cohort of scan pairs: table in, datalist, split and reconciliation out.

Each patient who is read leaves a record, written last; a patient whose files and requests have not changed is not read
again. All tables are made from the records at the end, so that an interruption changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from gastromap.cohort.folder import check_empty, check_test_centres, claim
from gastromap.cohort.identities import Identities
from gastromap.cohort.pair_judging import Ready, judge
from gastromap.cohort.pair_outputs import UsedPair, write_pair_files
from gastromap.cohort.pair_reading import PairPlan, PairReader
from gastromap.cohort.pair_roster import read_pair_roster
from gastromap.cohort.pair_summary import PairSummary, count_parts
from gastromap.cohort.reading import Progress
from gastromap.cohort.splitting import Stratum, assign_splits, read_split
from gastromap.cohort.spreadsheet import Table
from gastromap.errors import UsageError
from gastromap.files import unwritable

__all__ = ["PairPlan", "PairSummary", "prepare_pairs"]


def prepare_pairs(plan: PairPlan, table: Table, *, progress: Progress | None = None) -> PairSummary:
    """Prepare a cohort of pairs.

    Parameters
    ----------
    plan : PairPlan
    table : Table
        Read with ``keep_words``.
    progress : callable, optional

    Returns
    -------
    summary : PairSummary

    Raises
    ------
    UsageError
        ``LABEL_CODES``, ``COHORT_DIFFERS``, ``SPLIT_FROZEN``, ``SPLIT_INVALID``, ``IDENTITIES_INVALID``,
        ``TEST_CENTRE``.
    OutputError
        ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE``.
    """
    check_empty(plan.out)
    identities = Identities(plan.identities)
    roster = read_pair_roster(table, plan.columns, pseudonym=identities.patient)
    check_test_centres(plan.split, (case.cohort for case in roster.cases))
    reader = PairReader(plan, identities)
    try:
        _claim(plan, identities)
        located, missing = reader.locate(roster.cases)
        reader.read(located, progress)
        read = [Ready.of(case, identities, reader.results) for case in located]
        ready, findings = judge(read)
        splits = _split(plan, ready)
        used = [_used(one, identities, splits[one.patient]) for one in ready]
        summary = PairSummary(
            rows=len(table.rows),
            patients=len(roster.rows),
            read=reader.number_read,
            used=len(used),
            parts=count_parts((pair.case, pair.files, pair.part) for pair in used),
            findings=(*roster.findings, *missing, *findings, *reader.unnamed(roster.cells)),
        )
        variables = [one.name for one in plan.columns.clinical]
        write_pair_files(plan.out, used, splits, summary, variables=variables, seed=plan.split.seed)
        rows = [(patient, " ".join(map(str, numbers))) for patient, numbers in roster.rows.items()]
        identities.write(rows, roster.bad_cells)
    except OSError as error:
        raise unwritable(
            error,
            where="output folder",
            expected="a folder that can be written, and files that stay as they are",
            remedy="Check space and permissions, then repeat the command: finished patients are kept.",
        ) from error
    return summary


def _claim(plan: PairPlan, identities: Identities) -> None:
    columns = {name: value for name, value in asdict(plan.columns).items() if name not in ("words", "clinical")}
    clinical = {
        one.name: {"column": one.column, "type": one.type, "levels": one.levels} for one in plan.columns.clinical
    }
    content = {
        "pairs": True,
        "columns": columns,
        "clinical": clinical,
        "masks": asdict(plan.rule),
        "split": asdict(plan.split),
        "gate": hashlib.sha256(repr(asdict(plan.settings)).encode()).hexdigest(),
    }
    claim(plan.out, identities, content)


def _split(plan: PairPlan, ready: Sequence[Ready]) -> dict[str, str]:
    """Parts as the table gives them, else by node metastasis and death within each centre."""
    frozen = read_split(plan.out / "split.csv")
    given = {one.patient: one.case.part for one in ready if one.case.part}
    moved = sum(frozen.get(patient, part) != part for patient, part in given.items())
    if moved:
        raise UsageError(
            "SPLIT_FROZEN",
            where="split.csv",
            expected="the parts of the earlier run",
            got=f"another one for {moved} patients in the table",
            remedy="Correct the table, or start anew in an empty folder.",
        )
    strata = {
        one.patient: Stratum(
            stage=f"LNM {one.case.lnm}, death {one.case.death}", centre=one.case.cohort, order=one.case.patient_id
        )
        for one in ready
    }
    return assign_splits(strata, plan.split, frozen={**frozen, **given})


def _used(one: Ready, identities: Identities, part: str) -> UsedPair:
    days = one.days
    return UsedPair(
        patient=one.patient,
        case=one.case,
        files=one.files,
        days={number: identities.day(one.patient, day).isoformat() for number, day in days.items()},
        interval_days=(days[2] - days[1]).days if len(days) == 2 else None,
        part=part,
    )
