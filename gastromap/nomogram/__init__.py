"""Nomograms: T stage (doi 10.1038/s41746-025-02002-5), and a score combined with clinical predictors."""

from gastromap.nomogram.clinical import check_clinical, read_clinical, with_measured_size
from gastromap.nomogram.combined import CombinedNomogram, CombinedResult, apply_combined
from gastromap.nomogram.drawing import draw_nomogram, nomogram_axes
from gastromap.nomogram.fitting import fit_nomogram
from gastromap.nomogram.model import NomogramModel, apply

__all__ = [
    "CombinedNomogram",
    "CombinedResult",
    "NomogramModel",
    "apply",
    "apply_combined",
    "check_clinical",
    "draw_nomogram",
    "fit_nomogram",
    "nomogram_axes",
    "read_clinical",
    "with_measured_size",
]
