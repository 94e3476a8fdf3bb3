"""Lay table and images together: which image each case gets, and what is left over on either side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gastromap.cohort.findings import Effect, Finding
from gastromap.cohort.matching import Case

__all__ = ["CaseKey", "Record", "Resolved", "resolve"]

#: Pseudonym of the patient and name of the image in the table (empty where a patient has one image).
CaseKey = tuple[str, str]


@dataclass(frozen=True)
class Record:
    """What was found in one study; ``result`` as :func:`gastromap.cohort.study.read_study` gives it, no patient data.

    Attributes
    ----------
    study : str
    case : Case or None
        Of the table.
    patient : str
        Pseudonym of the case's patient; empty without a case.
    identity : str
        Keyed hash of the PatientID of the images; empty where they have none.
    zeros : bool
        Whether the identifiers differ by leading zeros only.
    result : mapping
    """

    study: str
    case: Case | None
    patient: str
    identity: str
    zeros: bool
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """One record for each case that has usable images."""

    chosen: tuple[tuple[Case, Record], ...]
    findings: tuple[Finding, ...]


def resolve(cases: Sequence[tuple[str, Case]], records: Sequence[Record]) -> Resolved:
    """Choose a study for each case.

    Parameters
    ----------
    cases : sequence of (str, Case)
        Pseudonym of the patient and case.
    records : sequence of Record

    Returns
    -------
    resolved : Resolved
        Cases without a label are not among the chosen ones.

    Notes
    -----
    Of several usable studies of a patient the earliest is taken, as the input gate does: the stage is that before
    treatment. Where the dates do not say which one that is, the patient is left out.
    """
    findings: list[Finding] = [found for record in records for found in _of_study(record)]
    by_case: dict[CaseKey, list[Record]] = defaultdict(list)
    for record in records:
        if record.case is not None:
            by_case[record.patient, record.case.image].append(record)
    chosen: list[tuple[Case, Record]] = []
    for patient, case in cases:
        mine = by_case[patient, case.image]
        taken = _one(patient, mine, findings)
        if not mine:
            findings.append(
                Finding("ROW_WITHOUT_IMAGES", "left out", "no study of this patient", patient, rows=case.rows)
            )
        if taken is not None and case.label is not None:
            chosen.append((case, taken))
    mixed_up = _shared(chosen, findings)
    findings += _identities(records)
    return Resolved(tuple(pair for pair in chosen if pair[1].study not in mixed_up), tuple(findings))


def _of_study(record: Record) -> list[Finding]:
    result, rows = record.result, () if record.case is None else record.case.rows

    def found(code: str, effect: Effect, message: str, detail: str = "") -> Finding:
        return Finding(code, effect, message, record.patient, record.study, rows, detail=detail)

    findings = []
    if record.zeros:
        findings.append(found("ZEROS_DIFFER", "kept", "matched without the leading zeros"))
    if result["status"] == "refused":
        findings.append(found("STUDY_REFUSED", "left out", result["message"], result["code"]))
    elif result["status"] == "failed":
        findings.append(found("STUDY_FAILED", "left out", result["message"]))
    elif record.case is None:
        findings.append(found("IMAGES_WITHOUT_ROW", "left out", "no row for this study"))
    else:
        if not result["complete"]:
            findings.append(found("NEIGHBOUR_MISSING", "kept", "the key slice is the first or last of the series"))
        # Who named the series in the table knows that.
        warnings = [code for code in result["warnings"] if code != "SERIES_BY_OPERATOR"]
        if warnings:
            findings.append(found("IMAGE_WARNING", "kept", ", ".join(warnings)))
    return findings


def _one(patient: str, records: Sequence[Record], findings: list[Finding]) -> Record | None:
    ready = [record for record in records if record.result["status"] == "ready"]
    if len(records) < 2 or not ready:
        return ready[0] if ready else None
    rows = records[0].case.rows if records[0].case else ()
    studies = ", ".join(record.study for record in records)

    def found(effect: Effect, message: str) -> None:
        findings.append(Finding("SEVERAL_STUDIES", effect, f"{message} ({studies})", patient, rows=rows))

    if len({record.result["pixels"] for record in ready}) == 1:
        if len(ready) == len(records):
            found("kept", f"{len(records)} copies of one study; one was used")
        else:
            found("kept", f"{ready[0].study} was used, the others cannot be: is it the one before treatment?")
        return ready[0]
    moments = [record.result.get("moment") for record in ready]
    first = min((moment for moment in moments if moment is not None), default=None)
    if None in moments or moments.count(first) > 1:
        found("left out", f"{len(ready)} usable studies, and the dates do not say which is the first")
        return None
    record = ready[moments.index(first)]
    unusable = len(records) - len(ready)
    rest = f"; {unusable} cannot be used and may be earlier" if unusable else ""
    found("kept", f"{record.study} was used, the earliest of {len(ready)} usable ones{rest}")
    return record


def _shared(chosen: Sequence[tuple[Case, Record]], findings: list[Finding]) -> set[str]:
    """Studies with the pixels of another patient."""
    by_pixels: dict[str, list[tuple[Case, Record]]] = defaultdict(list)
    for pair in chosen:
        by_pixels[pair[1].result["pixels"]].append(pair)
    studies: set[str] = set()
    for pairs in by_pixels.values():
        patients = sorted({record.patient for _, record in pairs})
        if len(patients) < 2:
            continue
        for case, record in pairs:
            others = ", ".join(patient for patient in patients if patient != record.patient)
            message = f"the key slice is that of {others}"
            findings.append(Finding("SAME_IMAGES", "left out", message, record.patient, record.study, case.rows))
            studies.add(record.study)
    return studies


def _identities(records: Sequence[Record]) -> list[Finding]:
    patients: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.identity and record.patient:
            patients[record.identity].add(record.patient)
    return [
        Finding("SHARED_PATIENT_ID", "kept", f"{len(names)} patients: {_some(sorted(names))}")
        for names in patients.values()
        if len(names) > 1
    ]


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
