"""Patient and study as a radiologist reads them, from the source header and from nowhere else."""

from __future__ import annotations

from gastromap.dicom_output.charset import source_text
from gastromap.results import StudyResult

__all__ = ["patient_rows"]


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


def patient_rows(result: StudyResult) -> tuple[tuple[str, str], ...]:
    """Return label and value of what identifies patient and study; missing values are a dash.

    Parameters
    ----------
    result : StudyResult
        Only ``volume.sources[0].header`` is read.
    """
    header = result.volume.sources[0].header
    declared = bool(header.get("SpecificCharacterSet"))
    name = source_text(header, "PatientName")
    shown = name if declared else _readable(name)
    if name and not shown:
        shown = "not readable (character set not declared)"
    rows = (
        ("Patient", _name(shown)),
        ("Patient ID", source_text(header, "PatientID")),
        ("Born", _date(source_text(header, "PatientBirthDate"))),
        ("Sex", source_text(header, "PatientSex")),
        ("Study date", _date(source_text(header, "StudyDate"))),
        ("Accession", source_text(header, "AccessionNumber")),
    )
    return tuple((label, value.strip() or "–") for label, value in rows)
