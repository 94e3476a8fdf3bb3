"""Every code that a result object may hold, in one table; writers use no literals.

The origin of each code, and how far it was checked, stands in the DICOM output design, section 3. The clinical
T categories (SNOMED CT) are bound to no organ and no edition: "AJCC 8" goes into the algorithm parameters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

__all__ = [
    "CT_CATEGORY_VALUES",
    "PRIVATE_SCHEME",
    "PRIVATE_SCHEME_NAME",
    "PRIVATE_SCHEME_UID",
    "YCT_CATEGORY_VALUES",
    "C",
    "CodedEntry",
    "code",
    "code_item",
    "os_probability",
]

PRIVATE_SCHEME: Final = "99GASTROMAP"
PRIVATE_SCHEME_NAME: Final = "GastroMAP private codes"
PRIVATE_SCHEME_UID: Final = "2.25.302406317213297894152345230187434163473"


class CodedEntry(NamedTuple):
    """Code value, scheme designator and meaning (always English)."""

    value: str
    scheme: str
    meaning: str


class C:
    """Concepts by name."""

    STOMACH: Final = CodedEntry("69695003", "SCT", "Stomach")
    NEOPLASM_PRIMARY: Final = CodedEntry("372087000", "SCT", "Neoplasm, Primary")
    CT_CATEGORY: Final = CodedEntry("399504009", "SCT", "cT category")
    PROBABILITY: Final = CodedEntry("122157", "DCM", "Probability")
    COMMENT: Final = CodedEntry("121106", "DCM", "Comment")
    METASTASIS: Final = CodedEntry("128462008", "SCT", "Metastasis")
    REGIONAL_LYMPH_NODE: Final = CodedEntry("312500006", "SCT", "regional lymph node")
    LONG_AXIS: Final = CodedEntry("103339001", "SCT", "Long axis")
    VOLUME: Final = CodedEntry("118565006", "SCT", "Volume")
    WALL_THICKNESS: Final = CodedEntry("122445", "DCM", "Wall Thickness")
    NO: Final = CodedEntry("373067005", "SCT", "No")
    UNKNOWN: Final = CodedEntry("261665006", "SCT", "Unknown")
    NO_UNITS: Final = CodedEntry("1", "UCUM", "no units")
    MILLIMETRE: Final = CodedEntry("mm", "UCUM", "mm")
    CUBIC_CENTIMETRE: Final = CodedEntry("cm3", "UCUM", "cubic centimeter")
    DAY: Final = CodedEntry("d", "UCUM", "day")
    MONTH: Final = CodedEntry("mo", "UCUM", "month")
    ARTIFICIAL_INTELLIGENCE: Final = CodedEntry("123110", "DCM", "Artificial Intelligence")
    CT_ABDOMEN_CONTRAST: Final = CodedEntry("79101-2", "LN", "CT Abdomen W contrast IV")
    PRETREATMENT: Final = CodedEntry("C3539075", "UMLS", "Pretreatment")
    POSTTREATMENT: Final = CodedEntry("126074", "DCM", "Posttreatment")
    ACQUISITION_EQUIPMENT: Final = CodedEntry("109101", "DCM", "Acquisition Equipment")
    PROCESSING_EQUIPMENT: Final = CodedEntry("109102", "DCM", "Processing Equipment")
    MORPHOLOGICALLY_ABNORMAL: Final = CodedEntry("49755003", "SCT", "Morphologically Abnormal Structure")
    #: HiResCAM weights with the gradient too, place by place instead of once a channel.
    GRADIENT_CLASS_ACTIVATION: Final = CodedEntry("130403", "DCM", "Gradient-weighted class activation")
    OF_INTEREST: Final = CodedEntry("113000", "DCM", "Of Interest")
    DEVICE: Final = CodedEntry("121007", "DCM", "Device")
    SOURCE_IMAGE: Final = CodedEntry("121322", "DCM", "Source image for image processing operation")

    # No public code was found for these.
    STAGING_CONFIDENCE: Final = CodedEntry("staging-confidence", PRIVATE_SCHEME, "Staging confidence")
    CONFIDENT: Final = CodedEntry("confident", PRIVATE_SCHEME, "Confidently staged")
    NOT_CONFIDENT: Final = CodedEntry("not-confident", PRIVATE_SCHEME, "Not confidently staged")
    PREDICTION_SET: Final = CodedEntry("prediction-set", PRIVATE_SCHEME, "Member of conformal prediction set")
    RAD_SCORE: Final = CodedEntry("rad-score", PRIVATE_SCHEME, "Rad-score, standard deviations of training cohort")
    YCT_CATEGORY: Final = CodedEntry("yct-category", PRIVATE_SCHEME, "ycT category, after treatment")
    TUMOUR_FOUND: Final = CodedEntry("tumour-found", PRIVATE_SCHEME, "Tumour found after treatment")
    OS_RISK: Final = CodedEntry("os-risk", PRIVATE_SCHEME, "Risk of death, minus expected survival")
    EXPECTED_SURVIVAL: Final = CodedEntry("rmst", PRIVATE_SCHEME, "Restricted mean survival time")
    RISK_GROUP: Final = CodedEntry("risk-group", PRIVATE_SCHEME, "Risk group of overall survival")
    RISK_HIGH: Final = CodedEntry("risk-high", PRIVATE_SCHEME, "Above the median of the training patients")
    RISK_LOW: Final = CodedEntry("risk-low", PRIVATE_SCHEME, "Not above the median of the training patients")


CT_CATEGORY_VALUES: Final[dict[str, CodedEntry]] = {
    "T1": CodedEntry("1228889001", "SCT", "AJCC cT1"),
    "T2": CodedEntry("1228929004", "SCT", "AJCC cT2"),
    "T3": CodedEntry("1228938002", "SCT", "AJCC cT3"),
    "T4": CodedEntry("1228944003", "SCT", "AJCC cT4"),
}

#: No public ycT code was found, and a plain cT after treatment would be wrong.
YCT_CATEGORY_VALUES: Final[dict[str, CodedEntry]] = {
    stage: CodedEntry(f"yc{stage}", PRIVATE_SCHEME, f"AJCC yc{stage}") for stage in CT_CATEGORY_VALUES
}


def os_probability(months: int) -> CodedEntry:
    """Return the name of the probability of being alive after so many months; no public code was found."""
    meaning = f"Probability of overall survival at {months} months"
    return CodedEntry(f"os-{months}-months", PRIVATE_SCHEME, meaning)


def code(entry: CodedEntry) -> Code:
    """Return an entry of the table as the libraries want it."""
    return Code(entry.value, entry.scheme, entry.meaning)


def code_item(entry: CodedEntry) -> Dataset:
    """Build one item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = entry.value
    item.CodingSchemeDesignator = entry.scheme
    item.CodeMeaning = entry.meaning
    return item
