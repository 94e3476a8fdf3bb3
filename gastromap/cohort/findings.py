"""What can be wrong with a cohort: one type, and one table of codes with what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CODES", "Code", "Effect", "Finding"]

#: ``left out``: the patient or study is not in the datalist. ``emptied``: a clinical value is missing now.
#: ``kept``: nothing changed, somebody should look.
Effect = Literal["left out", "emptied", "kept"]


@dataclass(frozen=True)
class Code:
    """Words for a kind of finding."""

    title: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One thing to look at. No patient data: rows by number, patients and studies by pseudonym.

    ``detail`` is the code of the input gate, where it refused a study.
    """

    code: str
    effect: Effect
    message: str
    patient: str = ""
    study: str = ""
    rows: tuple[int, ...] = ()
    column: str = ""
    detail: str = ""


CODES: Final[dict[str, Code]] = {
    "STUDY_REFUSED": Code(
        "Studies refused by the input gate",
        "Send the complete study, or name the series or the key slice in a column. gastromap inspect shows a study.",
    ),
    "STUDY_FAILED": Code(
        "Studies that could not be read within the limits",
        "Repeat the command; if it fails again, look at the study with gastromap inspect.",
    ),
    "SEVERAL_STUDIES": Code(
        "Patients with several studies",
        "Check that the study used is the one before treatment; keep the others out of the folder.",
    ),
    "SAME_IMAGES": Code(
        "The same images for different patients",
        "One of the patients has the images of another: find out which.",
    ),
    "SHARED_PATIENT_ID": Code(
        "One PatientID in the images of different patients",
        "If it is one person, give all folders one name in the table: he must not stand on two sides of the split.",
    ),
    "ROW_WITHOUT_IMAGES": Code("Rows without images", "Add the study, or correct the identifier in the table."),
    "IMAGES_WITHOUT_ROW": Code("Images without a row", "Add the patient to the table, or correct the identifier."),
    "LOOSE_FILES": Code("Files beside the studies", "Put each study into a folder of its own, or give --depth."),
    "ZEROS_DIFFER": Code(
        "Identifiers that differ by leading zeros only",
        "They were taken as equal; store identifiers as text in the spreadsheet.",
    ),
    "ROW_WITHOUT_PATIENT": Code("Rows without a patient", "Fill in the identifier."),
    "DUPLICATE_ROWS": Code("Rows that say the same", "Delete the copies."),
    "CONFLICTING_STAGE": Code(
        "Patients with different stages", "Decide which stage is right; until then the patient is left out."
    ),
    "CONFLICTING_REQUEST": Code(
        "Rows that ask for different images, or for the same one",
        "Keep one series and one key slice a patient, and one patient an image.",
    ),
    "CONFLICTING_VALUES": Code(
        "Patients with different values in their rows", "Decide which is right; until then the value is missing."
    ),
    "STAGE_MISSING": Code("Rows without a stage", "Fill in the stage, or leave the patient out."),
    "STAGE_IMPOSSIBLE": Code(
        "Cells that are no T stage", "Correct the cell, or say what it means with --word stage:CELL=T3."
    ),
    "STAGE_NOT_STAGED": Code(
        "Stages that are none of T1 to T4", "Tis, T0 and TX cannot be trained; nothing to do if that is what was found."
    ),
    "STAGE_OLD_EDITION": Code(
        "Stages of an earlier edition",
        "T2a, T2b, T3a and T3b are not in AJCC 8 (T2b of the 6th edition is T3 today): stage these patients again.",
    ),
    "STAGE_AFTER_THERAPY": Code(
        "Stages after treatment (y)",
        "The images must be those before surgery and after the treatment, or leave it out.",
    ),
    "STAGE_KINDS_MIXED": Code(
        "Clinical and pathological stages in one column", "Use pathological stages only: a clinical one is a reading."
    ),
    "VALUE_IMPOSSIBLE": Code("Impossible clinical values", "Correct the cell; until then the value is missing."),
    "VALUE_UNREADABLE": Code(
        "Clinical values that cannot be read",
        "Correct the cell, or say what it means, for example --word differentiation:CELL=poor.",
    ),
    "IMAGE_WARNING": Code("Warnings of the input gate", "See docs/dicom-input.md for the codes."),
    "NEIGHBOUR_MISSING": Code(
        "Key slices at an end of the series", "Fewer slices are written; nothing to do if the scan ends there."
    ),
}
