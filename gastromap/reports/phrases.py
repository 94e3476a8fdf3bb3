"""Codes of the pipeline in words of the reader."""

from __future__ import annotations

from typing import Final

from gastromap.results import GradCamResult

__all__ = [
    "KEY_SLICE_ORIGINS",
    "RESEARCH_USE",
    "SIZE_ORIGINS",
    "VARIABLES",
    "VOTES",
    "heat_map_meaning",
    "heat_map_method",
    "percent",
    "sentence",
    "signed",
    "stage_label",
    "warning_sentence",
]

#: Stands on every object, picture and page.
RESEARCH_USE: Final = "research use, not for diagnosis"

KEY_SLICE_ORIGINS: Final = {
    "call_uid": "named by the caller (SOP Instance UID)",
    "call_index": "named by the caller (slice number)",
    "seg": "largest tumour area in a DICOM segmentation",
    "rtstruct": "largest tumour area in an RT structure set",
    "kos": "marked in a key object selection",
    "auto": "automatic: largest tumour area of the segmentation model, checked by nobody",
}

SIZE_ORIGINS: Final = {
    "seg": "measured in a DICOM segmentation",
    "auto": "measured in the mask of the segmentation model, checked by nobody",
}

VARIABLES: Final = {
    "tumour_size_cm": "tumour size",
    "differentiation": "differentiation",
    "lauren": "Lauren type",
    "rad_score": "Rad-score",
}

VOTES: Final = {"portal": "portal-venous", "other": "another phase", "no evidence": "silent"}

#: HiResCAM is less known than the method it refines.
_CAM_METHODS: Final = {"HiResCAM": "HiResCAM (element-wise Grad-CAM)"}
_CAM_LAYERS: Final = {
    f"layer{number}": f"{word} residual stage"
    for number, word in enumerate(("first", "second", "third", "fourth"), start=1)
}

_WARNINGS: Final = {
    "FOREIGN_FILES": "The input held files that are no DICOM; they were skipped.",
    "LINKS_SKIPPED": "The input held links; they were not followed.",
    "OTHER_SERIES_DAMAGED": "Files of another series are damaged; the series used is whole.",
    "DUPLICATES_DROPPED": "Images were present twice; the copies were dropped.",
    "LOCALIZER_DROPPED": "A localizer in the series was left out.",
    "ENDS_MISSING": "Numbering or neighbouring images suggest that images at an end of the series are missing.",
    "ORDER_DISAGREES": "The numbers of the images run against their positions; the positions were used.",
    "META_DIFFERS": "The file headers name other images than the data in them; the data were used.",
    "OTHER_OBJECTS": "The series holds objects that are no CT images; they were left out.",
    "SLICES_LEFT_OUT": "A few images of the series belong to no volume and were left out.",
    "ROLE_BY_DATE": "Baseline and follow-up were told apart by their dates only.",
    "PATIENT_ID_EMPTY": "The study has no patient ID.",
    "PATIENT_NAME_UNVERIFIED": "The patient names of the files could not be compared.",
    "CHARSET_UNDECLARED": "The character set of the patient data is not declared.",
    "CHARSET_UNKNOWN": "The declared character set of the patient data is unknown.",
    "LOSSY": "The images were compressed with loss.",
    "TRAILING_BYTES": "Zeros follow the pixels in files of the series; check that the pictures are not shifted.",
    "PADDING_MAPPED": "Padding outside the field of view was set to air.",
    "THICKNESS_TAG": "The slice thickness given does not match the slice positions.",
    "SLOPE_VARIES": "The rescale slope varies between slices; each slice was rescaled by its own.",
    "RESCALE_TYPE": "The images do not say that their values are Hounsfield units.",
    "NO_AIR": "The images hold hardly any air: the Hounsfield scale may be off.",
    "PHASE_ONE_SOURCE": "The portal-venous phase is backed by one source of evidence only.",
    "KERNEL_SHARP": "The series named was reconstructed with a sharp kernel; the model was trained on soft ones.",
    "UIDS_DERIVED": "The UIDs of the images are blank and were derived from their content.",
    "SEG_UNMEASURED": "A segmentation names the key slice, but the size of the tumour could not be taken from it.",
    "TUMOUR_ELSEWHERE": "What the segmentation model found does not reach the key slice named; its size was left out.",
    "SERIES_BY_OPERATOR": "The series was named by the operator; the phase was not decided from evidence.",
}


def warning_sentence(code: str) -> str:
    """Return the sentence for a warning code; an unknown code is shown as it is."""
    return _WARNINGS.get(code, code)


def stage_label(role: str, stage: str) -> str:
    """Return ``cT3``, or ``ycT3`` for a volume in the role of follow-up: never a plain cT after treatment."""
    return f"{'yc' if role == 'followup' else 'c'}{stage}"


def percent(probability: float) -> str:
    """Return a probability in words of the reader; 0 % and 100 % only where they are exact."""
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 < probability < 1:
        return ">99 %"
    return f"{probability * 100:.0f} %"


def sentence(text: str) -> str:
    """Return words with a capital first letter and a full stop; abbreviations keep their capitals."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def signed(value: float, digits: int = 0) -> str:
    """Return a difference with its sign: ``+12``, ``−3.1``; a rounded zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def heat_map_method(heat_map: GradCamResult) -> str:
    """Return method and layer: ``HiResCAM (element-wise Grad-CAM), second residual stage``."""
    method = _CAM_METHODS.get(heat_map.method, heat_map.method)
    return f"{method}, {_CAM_LAYERS.get(heat_map.layer, heat_map.layer)}"


def heat_map_meaning(class_label: str) -> str:
    """Return what the heat map shows of a class such as ``cT3``, and what it does not."""
    return f"explanation of class {class_label}, not a lesion outline"
