"""Prepare a cohort: table and image folder in, datalist, split and reconciliation out.

Each study that is read leaves a record, written last; a record whose study and request have not changed is not read
again. All tables are made from the records at the end, so that an interruption changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from gastromap.cohort.findings import Finding
from gastromap.cohort.folder import check_empty, check_test_centres, claim
from gastromap.cohort.identities import Identities
from gastromap.cohort.matching import Case, read_roster
from gastromap.cohort.outputs import write_cohort_files
from gastromap.cohort.reading import PreparePlan, Progress, StudyReader
from gastromap.cohort.resolving import Record, resolve
from gastromap.cohort.splitting import Stratum, assign_splits, read_split
from gastromap.cohort.spreadsheet import Table
from gastromap.cohort.units import find_units
from gastromap.files import unwritable

__all__ = ["CohortSummary", "PreparePlan", "prepare_cohort"]


@dataclass(frozen=True)
class CohortSummary:
    """Figures of a run.

    Attributes
    ----------
    rows, patients : int
        Of the table.
    studies, read : int
        In the image folder, and read in this run.
    used : int
        Patients in the datalist.
    splits : mapping
        Split to number of patients by stage index.
    findings : tuple of Finding
    """

    rows: int
    patients: int
    studies: int
    read: int
    used: int
    splits: Mapping[str, tuple[int, int, int, int]]
    findings: tuple[Finding, ...]


def prepare_cohort(plan: PreparePlan, table: Table, *, progress: Progress | None = None) -> CohortSummary:
    """Prepare a cohort.

    Parameters
    ----------
    plan : PreparePlan
    table : Table
    progress : callable, optional

    Returns
    -------
    summary : CohortSummary

    Raises
    ------
    UsageError
        ``TABLE_COLUMN``, ``STAGE_CODES``, ``SIZE_UNIT``, ``INPUT_NOT_FOUND``, ``COHORT_DIFFERS``, ``SPLIT_FROZEN``,
        ``SPLIT_INVALID``, ``IDENTITIES_INVALID``, ``TEST_CENTRE``.
    OutputError
        ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE``.
    """
    units, loose = find_units(plan.images, plan.kind, depth=plan.depth)
    check_empty(plan.out)
    identities = Identities(plan.identities)
    roster = read_roster(table, plan.columns, pseudonym=identities.patient)
    check_test_centres(plan.split, (case.centre for case in roster.cases))
    reader = StudyReader(plan, identities, roster)
    try:
        _claim(plan, identities)
        reader.read(units, progress)
        resolved = resolve(
            [(identities.patient(case.patient_id), case) for case in roster.cases], list(reader.records(units))
        )
        splits = _split(plan, resolved.chosen, identities)
        findings = (*roster.findings, *resolved.findings, *_loose(loose))
        used = [(case, record, splits[record.patient]) for case, record in resolved.chosen]
        summary = CohortSummary(
            rows=len(table.rows),
            patients=len({case.patient_id for case in roster.cases}),
            studies=len(units),
            read=reader.number_read,
            used=len({record.patient for _, record, _ in used}),
            splits=_counts(used),
            findings=findings,
        )
        write_cohort_files(plan.out, used, splits, summary, with_centre=plan.columns.centre is not None)
        rows: dict[str, list[int]] = {}
        for case in roster.cases:
            rows.setdefault(case.patient_id, []).extend(case.rows)
        identities.write(
            [(patient, " ".join(map(str, sorted(set(numbers))))) for patient, numbers in rows.items()],
            roster.bad_cells,
        )
    except OSError as error:
        raise unwritable(
            error,
            where="output folder",
            expected="a folder that can be written",
            remedy="Check space and permissions, then repeat the command: finished studies are kept.",
        ) from error
    return summary


def _split(plan: PreparePlan, chosen: tuple[tuple[Case, Record], ...], identities: Identities) -> dict[str, str]:
    patients = {
        record.patient: Stratum(stage=f"T{(case.label or 0) + 1}", centre=case.centre, order=case.patient_id)
        for case, record in chosen
    }
    return assign_splits(patients, plan.split, frozen=read_split(plan.out / "split.csv"))


def _counts(used: list[tuple[Case, Record, str]]) -> dict[str, tuple[int, int, int, int]]:
    patients = {(split, record.patient): case.label for case, record, split in used}
    names = dict.fromkeys(split for split, _ in sorted(patients))
    counts = {name: [0, 0, 0, 0] for name in names}
    for (split, _), label in patients.items():
        counts[split][label or 0] += 1
    return {name: (row[0], row[1], row[2], row[3]) for name, row in counts.items()}


def _loose(count: int) -> tuple[Finding, ...]:
    return (Finding("LOOSE_FILES", "left out", f"{count} files lie above the study folders"),) if count else ()


def _claim(plan: PreparePlan, identities: Identities) -> None:
    columns = {name: value for name, value in asdict(plan.columns).items() if name != "words"}
    content = {
        "format": plan.kind,
        "match": plan.match,
        "columns": columns,
        "slices": plan.slices,
        "split": asdict(plan.split),
        "gate": hashlib.sha256(repr(asdict(plan.settings)).encode()).hexdigest(),
    }
    claim(plan.out, identities, content)
