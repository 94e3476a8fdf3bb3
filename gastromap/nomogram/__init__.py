"""Nomogram of Rad-score and clinical variables (doi 10.1038/s41746-025-02002-5): published and refitted."""

from gastromap.nomogram.clinical import check_clinical, read_clinical
from gastromap.nomogram.drawing import draw_nomogram, nomogram_axes
from gastromap.nomogram.fitting import fit_nomogram
from gastromap.nomogram.model import NomogramModel, apply

__all__ = [
    "NomogramModel",
    "apply",
    "check_clinical",
    "draw_nomogram",
    "fit_nomogram",
    "nomogram_axes",
    "read_clinical",
]
