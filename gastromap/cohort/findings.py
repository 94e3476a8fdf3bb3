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
        "Keep one series and one key slice a patient, and one patient an image. Of pairs, a folder with both studies "
        "is named with --study, not as image1 and image2.",
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
    "FILE_MISSING": Code(
        "Files of the table that are not there",
        "Correct the cell, or name the folder with --images; an empty cell says that there is no such scan or mask.",
    ),
    "SCANS_REFUSED": Code(
        "Patients whose scans cannot be used", "The code says why; correct the file, or empty its cell if it is image2."
    ),
    "SEVERAL_ROWS": Code("Patients with several rows", "Keep one row a patient, with both scans in it."),
    "LABEL_MISSING": Code("Patients without any label", "Fill in node metastasis, or death and time."),
    "LNM_MISSING": Code("Unlabelled for LNM", "Nothing to do if it is unknown; the patient trains survival only."),
    "OS_MISSING": Code("Unlabelled for OS", "Nothing to do if it is unknown; the patient trains LNM only."),
    "OS_INCOMPLETE": Code("Time without status, or status without time", "Fill in the other one."),
    "NO_FOLLOWUP": Code("Without a second scan", "Nothing to do if there is none; the patient trains on one scan."),
    "LABEL_UNREADABLE": Code(
        "Labels that cannot be read", "Correct the cell, or say what it means, for example --word death:CELL=1."
    ),
    "TIME_UNREADABLE": Code("Times that cannot be read", "Write a plain number in the unit of the column."),
    "TIME_NEGATIVE": Code("Negative times", "Check the dates they were computed from."),
    "TIME_IMPOSSIBLE": Code("Impossible times", "Check the unit of the column."),
    "TIME_ZERO": Code("Times of 0", "They count to the first interval; check that nobody entered 0 for unknown."),
    "TIME_SCALE": Code("Times that look like another unit", "Check --os-unit."),
    "DATE_UNREADABLE": Code("Dates that cannot be read", "Write them as 2021-03-04."),
    "DATES_REVERSED": Code("Second scans that are not after the first", "Swap the scans, or correct the dates."),
    "DATES_EQUAL": Code(
        "Studies of one date in their headers", "Check that they are those before and after treatment."
    ),
    "SPLIT_UNREADABLE": Code(
        "Parts of the split that cannot be read", "Say what they mean, for example --word split:CELL=test."
    ),
    "CENTRE_UNREADABLE": Code("Centres that cannot be read", "Write x, y, z in mm of the patient (LPS)."),
    "MASK_ALONE": Code("Second masks without a second scan", "Name the scan, or empty the cell of the mask."),
    "MASK_GRID_NEAR": Code(
        "Masks less than half a voxel off their image", "They were taken as equal; nothing to do if they look right."
    ),
    "MASK_SOFT": Code("Masks with fractions", "Voxels from 0.5 count as tumour; give the mask before resampling."),
    "MASK_EMPTY": Code(
        "Empty masks", "After treatment: a complete response. Before treatment: check that the tumour was drawn."
    ),
    "MASKS_EQUAL": Code("The same mask for both scans", "One of the masks is a copy: draw the other one."),
    "NO_CENTRE": Code(
        "Large scans without mask and centre",
        "Training needs a mask, a centre (--center1), or a crop of at most 160 mm: the tumour must be found.",
    ),
    "SCANS_OF_TWO_IDENTIFIERS": Code(
        "Scans of one row with different PatientID",
        "Check that both are of one patient; anonymised studies may differ.",
    ),
    "IMAGE_WARNING": Code("Warnings of the input gate", "See docs/dicom-input.md for the codes."),
    "NEIGHBOUR_MISSING": Code(
        "Key slices at an end of the series", "Fewer slices are written; nothing to do if the scan ends there."
    ),
}
