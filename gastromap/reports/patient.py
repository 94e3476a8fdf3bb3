"""Patient and study as a radiologist reads them, from the source header and from nowhere else."""

from __future__ import annotations

import pydicom

from gastromap.dicom_output.charset import source_text
from gastromap.results import StudyResult
from gastromap.text import Text, enumerated

__all__ = ["patient_rows", "study_date"]

_SEXES = {"F": Text("F"), "M": Text("M")}


def _readable(text: str) -> str:
    # Undeclared bytes come back as Latin-1 letters that nobody's name has: saying so is better than showing them.
    if any(0x80 <= ord(character) <= 0xFF for character in text) and not any(ord(c) > 0xFF for c in text):
        return ""
    return text


def _name(text: str) -> str:
    alphabetic, *others = (" ".join(part for part in group.split("^") if part) for group in text.split("="))
    ideographic = next((group for group in others if group), "")
    if alphabetic and ideographic:
        return f"{alphabetic} ({ideographic})"
    return alphabetic or ideographic


def _date(text: str) -> str:
    digits = text.strip()
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdecimal() else digits


def _sex(code: str) -> str:
    return _SEXES.get(code.strip(), code)


def study_date(header: pydicom.Dataset) -> str:
    """Return the study date as ISO 8601, or a dash."""
    return _date(source_text(header, "StudyDate")).strip() or "–"


def patient_rows(result: StudyResult) -> tuple[tuple[str, str], ...]:
    """Return label and value of what identifies patient and study; missing values are a dash.

    Parameters
    ----------
    result : StudyResult
        Only ``volume.sources[0].header`` is read, and of a follow-up its date and accession number.
    """
    header = result.volume.sources[0].header
    declared = bool(header.get("SpecificCharacterSet"))
    name = source_text(header, "PatientName")
    shown = name if declared else _readable(name)
    if name and not shown:
        shown = Text("not readable (character set not declared)")
    rows = (
        (Text("Patient"), shown if isinstance(shown, Text) else _name(shown)),
        (Text("Patient ID"), source_text(header, "PatientID")),
        (Text("Born"), _date(source_text(header, "PatientBirthDate"))),
        (Text("Sex"), _sex(source_text(header, "PatientSex"))),
        *_study_rows(result),
    )
    return tuple((label, value if isinstance(value, Text) else value.strip() or "–") for label, value in rows)


def _study_rows(result: StudyResult) -> tuple[tuple[str, str], tuple[str, str]]:
    volumes = [result.volume, *([] if result.comparison is None else [result.comparison.followup.volume])]
    headers = [volume.sources[0].header for volume in volumes]
    numbers = [source_text(header, "AccessionNumber").strip() or "–" for header in headers]
    dates = [study_date(header) for header in headers]
    if len(headers) == 1:
        return (Text("Study date"), dates[0]), (Text("Accession"), numbers[0])
    return (Text("CT dates"), enumerated(dates)), (Text("Accession"), enumerated(list(dict.fromkeys(numbers))))
