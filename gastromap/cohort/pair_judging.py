"""Which patients whose scans were read stay in the datalist, and what somebody should look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from gastromap.cohort.findings import Effect, Finding
from gastromap.cohort.identities import Identities
from gastromap.cohort.pair_case import PairCase

__all__ = ["Ready", "judge"]

_SAID: Final = {
    "MASK_GRID_NEAR": "mask {}: less than half a voxel off its image",
    "MASK_SOFT": "mask {}: values between 0 and 1",
    "MASK_EMPTY": "mask {}: empty",
    "MASKS_EQUAL": "the masks of both scans are equal",
    "NO_CENTRE": "scan {}: longer than 160 mm, without mask and centre",
    "SCANS_OF_TWO_IDENTIFIERS": "the studies have different PatientIDs",
}


@dataclass(frozen=True)
class Ready:
    """A patient whose scans were read.

    Attributes
    ----------
    case : PairCase
    patient : str
        Pseudonym.
    result : mapping
        As :func:`gastromap.cohort.pair_study.read_pair` gives it, with files below the folder of the cohort.
    days : mapping of int to date
        Of the table, else of the DICOM headers. Patient data.
    """

    case: PairCase
    patient: str
    result: Mapping[str, Any]
    days: Mapping[int, date]

    @classmethod
    def of(cls, case: PairCase, identities: Identities, results: Mapping[str, Mapping[str, Any]]) -> Ready:
        """Lay a case and what was found together."""
        patient = identities.patient(case.patient_id)
        result = results[patient]
        days = dict(case.dates)
        if not days:
            shift = identities.moment(patient, 0.0)
            days = {
                int(number): datetime.fromtimestamp(moment - shift, tz=UTC).date()
                for number, moment in result.get("moments", {}).items()
            }
        return cls(case, patient, result, days)

    @property
    def files(self) -> Mapping[str, str]:
        """Keys of the datalist to paths below the folder."""
        files: Mapping[str, str] = self.result.get("files", {})
        return files


def judge(read: Sequence[Ready]) -> tuple[list[Ready], list[Finding]]:
    """Leave out what was refused, what has the images of another patient and what runs backwards.

    Parameters
    ----------
    read : sequence of Ready

    Returns
    -------
    kept : list of Ready
    findings : list of Finding
    """
    findings = [finding for one in read for finding in _findings(one)]
    bad = {finding.patient for finding in findings if finding.effect == "left out"}
    ready = [one for one in read if one.patient not in bad]
    shared = _shared(ready)
    findings += shared
    bad = {finding.patient for finding in shared}
    return [one for one in ready if one.patient not in bad], findings


def _findings(one: Ready) -> Iterator[Finding]:
    result = one.result

    def found(code: str, effect: Effect, message: str, detail: str = "") -> Finding:
        return Finding(code, effect, message, one.patient, rows=(one.case.row,), detail=detail)

    if result["status"] == "refused":
        yield found("SCANS_REFUSED", "left out", result["message"], result["code"])
        return
    if result["status"] == "failed":
        yield found("STUDY_FAILED", "left out", result["message"])
        return
    warnings: dict[int, list[str]] = defaultdict(list)
    for code, number in result["notes"]:
        if code in _SAID:
            yield found(code, "kept", _SAID[code].format(number))
        else:
            warnings[number].append(code)
    for number, codes in warnings.items():
        yield found("IMAGE_WARNING", "kept", f"scan {number}: {', '.join(codes)}")
    if "image2" not in one.files:
        yield found("NO_FOLLOWUP", "kept", "one scan only")
    elif len(one.days) == 2 and not one.case.dates:
        if one.days[2] < one.days[1]:
            yield found("DATES_REVERSED", "left out", "by the headers the second study is before the first")
        elif one.days[2] == one.days[1]:
            yield found("DATES_EQUAL", "kept", "both studies have one date")


def _shared(ready: Sequence[Ready]) -> list[Finding]:
    """Findings for scans with the voxels of another patient's."""
    by_pixels: dict[str, list[tuple[Ready, str]]] = defaultdict(list)
    for one in ready:
        for number, pixels in one.result["pixels"].items():
            by_pixels[pixels].append((one, number))
    findings = []
    for users in by_pixels.values():
        if len({one.patient for one, _ in users}) < 2:
            continue
        for one, number in users:
            others = ", ".join(sorted({other.patient for other, _ in users} - {one.patient}))
            message = f"scan {number} has the voxels of {others}"
            findings.append(Finding("SAME_IMAGES", "left out", message, one.patient, rows=(one.case.row,)))
    return findings
