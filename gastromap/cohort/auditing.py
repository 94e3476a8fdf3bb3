"""Audit a split: patients on both sides, images that are nearly the same, labels and clinical values that cannot be.

Findings name entries by side and position, never a patient or a path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.cohort.audit_input import Entry
from gastromap.cohort.clinical_checks import clinical_problems
from gastromap.cohort.similarity import SIMILARITY, fingerprint, near_duplicates
from gastromap.cohort.spreadsheet import Table
from gastromap.errors import Refusal
from gastromap.evaluation.splits import shared_patients

__all__ = ["AuditFinding", "AuditReport", "audit_split"]

#: Entries named in a finding.
_EXAMPLES = 10
#: A slice correlates with its copy at 0.97 and more, see ``similarity``; two dates of a patient are never that alike.
_SAME_SCAN = 0.97


@dataclass(frozen=True)
class AuditFinding:
    """One thing that is wrong.

    Attributes
    ----------
    code : str
    number : int
        How many patients, images or rows.
    message : str
    examples : tuple of str
        Such as ``test 12``: side and position.
    """

    code: str
    number: int
    message: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditReport:
    """Result of an audit; ``findings`` is empty for a clean split.

    Attributes
    ----------
    sides : mapping
        Side to ``{"entries", "patients"}``.
    images : int
        Compared with each other.
    findings : tuple of AuditFinding
    notes : tuple of str
        What could not be checked.
    """

    sides: Mapping[str, Mapping[str, int]]
    images: int
    findings: tuple[AuditFinding, ...]
    notes: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"clean": not self.findings, **asdict(self)}


def audit_split(
    entries: Sequence[Entry],
    *,
    clinical: Table | None = None,
    compare_images: bool = True,
    threshold: float = SIMILARITY,
    workers: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> AuditReport:
    """Audit a split.

    Parameters
    ----------
    entries : sequence of Entry
        Of all sides.
    clinical : Table, optional
        Clinical values, one row a patient or image.
    compare_images : bool
    threshold : float
        Correlation from which images are near-duplicates, see :mod:`gastromap.cohort.similarity`.
    workers : int
        Threads that read images.
    progress : callable
        Called after each image.

    Returns
    -------
    report : AuditReport

    Raises
    ------
    UsageError
        ``PATIENT_UNKNOWN``, ``DATALIST_EMPTY``.
    """
    by_side: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_side[entry.side].append(entry)
    findings = [
        AuditFinding("PATIENT_ON_BOTH_SIDES", pair.shared, str(pair))
        for pair in shared_patients(
            {side: [{"patient_id": entry.patient} for entry in mine] for side, mine in by_side.items()}
        )
    ]
    findings += _labels(entries)
    notes: list[str] = []
    compared = 0
    if compare_images:
        compared, found = _images(entries, notes, threshold=threshold, workers=workers, progress=progress)
        findings += found
    else:
        notes.append("images were not compared")
    if clinical is None:
        notes.append("no clinical values were given")
    else:
        known = {entry.patient: entry.label for entry in entries if entry.label is not None}
        findings += [AuditFinding(*problem) for problem in clinical_problems(clinical, known)]
    sides = {
        side: {"entries": sum(entry.scan != 2 for entry in mine), "patients": len({entry.patient for entry in mine})}
        for side, mine in by_side.items()
    }
    return AuditReport(sides, compared, tuple(findings), tuple(notes))


def _named(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(entry.name for entry, _ in zip(entries, range(_EXAMPLES), strict=False))


def _labels(entries: Sequence[Entry]) -> list[AuditFinding]:
    findings = []
    without = [entry for entry in entries if entry.label is None and not entry.followed and entry.scan != 2]
    if without:
        label = "label" if without[0].scan else "T stage"
        findings.append(AuditFinding("LABEL_MISSING", len(without), f"entries without a {label}", _named(without)))
    labels: dict[str, set[int]] = defaultdict(set)
    for entry in entries:
        if entry.label is not None:
            labels[entry.patient].add(entry.label)
    torn = {patient for patient, found in labels.items() if len(found) > 1}
    if torn:
        examples = [entry for entry in entries if entry.patient in torn]
        message = f"patients whose entries have different {'labels' if examples[0].scan else 'stages'}"
        findings.append(AuditFinding("PATIENT_LABEL_CONFLICT", len(torn), message, _named(examples)))
    return findings


def _images(
    entries: Sequence[Entry],
    notes: list[str],
    *,
    threshold: float,
    workers: int,
    progress: Callable[[], None],
) -> tuple[int, list[AuditFinding]]:
    present = [entry for entry in entries if entry.image is not None and entry.image.is_file()]
    absent = len(entries) - len(present)
    if not present:
        notes.append("no image of the split was found, so images were not compared")
        return 0, []

    def read(entry: Entry) -> NDArray[np.float32] | None:
        assert entry.image is not None  # noqa: S101 - for the type checker
        try:
            return fingerprint(_key_slice(entry.image))
        except Refusal:
            return None
        finally:
            progress()

    with ThreadPoolExecutor(max_workers=workers) as pool:
        prints = list(pool.map(read, present))
    findings = []
    if absent:
        missing = [entry for entry in entries if entry.image is None or not entry.image.is_file()]
        findings.append(AuditFinding("IMAGE_MISSING", absent, "images that are not there", _named(missing)))
    damaged = [entry for entry, found in zip(present, prints, strict=True) if found is None]
    if damaged:
        findings.append(AuditFinding("IMAGE_UNREADABLE", len(damaged), "images that cannot be read", _named(damaged)))
    readable = [(entry, found) for entry, found in zip(present, prints, strict=True) if found is not None]
    if readable:
        findings += _duplicates([entry for entry, _ in readable], np.stack([f for _, f in readable]), threshold)
        findings += _copies(readable)
    return len(readable), findings


def _key_slice(path: Path) -> NDArray[np.float32]:
    """The slice that training reads."""
    from gastromap.cohort.files import open_nifti, read_png

    if path.name.lower().endswith((".nii", ".nii.gz")):
        volume, _ = open_nifti(path)
        return volume[len(volume) // 2]
    return read_png(path, spacing_mm=1.0, window=(50.0, 350.0), most_pixels=8192).hu[0].astype(np.float32)


def _copies(readable: Sequence[tuple[Entry, NDArray[np.float32]]]) -> list[AuditFinding]:
    """Find pairs whose second scan is the first one, written again."""
    first = {(one.side, one.position): found for one, found in readable if one.scan == 1}
    copies = [
        one
        for one, found in readable
        if one.scan == 2
        and (one.side, one.position) in first
        and float(found @ first[one.side, one.position]) >= _SAME_SCAN
    ]
    message = "second scans that are a copy of the first"
    return [AuditFinding("FOLLOWUP_IS_COPY", len(copies), message, _named(copies))] if copies else []


def _duplicates(entries: Sequence[Entry], prints: NDArray[np.float32], threshold: float) -> list[AuditFinding]:
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(entry.patient for entry in entries))}
    pairs, similarity = near_duplicates(
        prints, np.asarray([numbers[entry.patient] for entry in entries]), threshold=threshold
    )
    side = np.asarray([entry.side for entry in entries])
    label = np.asarray([-1 if entry.label is None else entry.label for entry in entries])
    across = side[pairs[:, 0]] != side[pairs[:, 1]]
    other = (label[pairs] >= 0).all(axis=1) & (label[pairs[:, 0]] != label[pairs[:, 1]])
    kinds = (
        ("NEAR_DUPLICATES_ACROSS", across, "images that another patient on another side has too"),
        ("NEAR_DUPLICATES_WITHIN", ~across, "images that another patient of the same side has too"),
        (
            "IMAGE_LABEL_CONFLICT",
            other,
            f"images that another patient has too, with another {'label' if entries[0].scan else 'stage'}",
        ),
    )
    findings = []
    for code, chosen, message in kinds:
        if not chosen.any():
            continue
        examples = tuple(
            f"{' and '.join(_named([entries[first], entries[second]]))} (r = {value:.3f})"
            for (first, second), value in zip(pairs[chosen][:_EXAMPLES], similarity[chosen][:_EXAMPLES], strict=True)
        )
        findings.append(AuditFinding(code, len(np.unique(pairs[chosen])), message, examples))
    return findings
