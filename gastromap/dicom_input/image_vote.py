"""The fourth vote on the contrast phase: what the organs themselves show.

Limits are in Hounsfield units at 120 kV after a usual dose of contrast. They leave room between the phases, and what
falls there is no evidence: a late arterial or an early delayed scan is not to be taken for a portal-venous one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from gastromap.dicom_input.geometry import Geometry, plan_geometry
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.phase import ImageVote, Vote
from gastromap.dicom_input.slice_hu import preview_hu
from gastromap.errors import Refusal

if TYPE_CHECKING:
    from gastromap.dicom_input.enhancement import Enhancement

__all__ = ["ContrastPhase", "image_voter", "phase_of", "voter_of"]

_log = logging.getLogger(__name__)

ContrastPhase = Literal["plain", "arterial", "portal", "delayed", "unsure"]

_SLICE_MM = 5.0
#: Slices of about 5 mm in which the aorta must have been followed, and how even it must be.
_LEAST_AORTA_SLICES = 8
_MOST_AORTA_SPREAD = 30.0
_PLAIN_AORTA, _ARTERIAL_AORTA = 75.0, 215.0
_PORTAL_AORTA = (110.0, 195.0)
_PORTAL_LIVER = 70.0
#: Liver over aorta: about 0.25 in the arterial, 0.6 to 0.73 in the portal-venous, 0.8 and more in the delayed phase.
_PORTAL_RATIO = (0.5, 0.79)
_ARTERIAL_RATIO, _DELAYED_RATIO = 0.38, 0.82
#: Cortex against medulla: over 70 HU only in the first minute.
_PORTAL_KIDNEY_CONTRAST = 90.0


def phase_of(found: Enhancement) -> ContrastPhase:
    """Read the contrast phase from the enhancement of the organs.

    Parameters
    ----------
    found : Enhancement

    Returns
    -------
    phase : str
        ``unsure`` where organs were not found or the values lie between two phases.
    """
    aorta, liver = found.aorta_hu, found.liver_hu
    uneven = (found.aorta_spread_hu or 0) > _MOST_AORTA_SPREAD
    if aorta is None or found.aorta_slices < _LEAST_AORTA_SLICES or uneven:
        return "unsure"
    if aorta < _PLAIN_AORTA:
        # A cold aorta beside a bright liver would be a wrong track.
        return "plain" if liver is None or liver < aorta + 40 else "unsure"
    ratio = None if liver is None else liver / aorta
    if aorta >= _ARTERIAL_AORTA or (ratio is not None and ratio <= _ARTERIAL_RATIO):
        return "arterial" if ratio is None or ratio <= _PORTAL_RATIO[0] else "unsure"
    if ratio is None or liver is None:
        return "unsure"
    if ratio >= _DELAYED_RATIO:
        return "delayed"
    sound = _PORTAL_AORTA[0] <= aorta <= _PORTAL_AORTA[1] and liver >= _PORTAL_LIVER
    kidneys = (found.kidney_contrast_hu or 0.0) <= _PORTAL_KIDNEY_CONTRAST
    return "portal" if sound and kidneys and _PORTAL_RATIO[0] <= ratio <= _PORTAL_RATIO[1] else "unsure"


def image_voter(settings: GateSettings) -> ImageVote:
    """Make the vote that looks at the pixels.

    Parameters
    ----------
    settings : GateSettings

    Returns
    -------
    vote : callable
        Gets the images of a candidate; slices about 5 mm apart are decoded, the others are not read.
    """

    def vote(images: Sequence[CtImage]) -> Vote:
        # Imported here: scipy.ndimage takes longer to load than a refusal on headers takes.
        from gastromap.dicom_input.enhancement import measure_enhancement

        try:
            geometry = plan_geometry(images, settings=settings, where="candidate")
        except Refusal:
            return "no evidence"
        thin = max(1, int(_SLICE_MM / geometry.step_mm))
        hu = preview_hu(geometry.images[::thin], settings=settings, where="candidate")
        if hu is None:
            return "no evidence"
        found = measure_enhancement(hu, _affine(geometry, thin))
        phase = phase_of(found)
        _log.info("image vote %s: %s", phase, found)
        return {"portal": "portal", "unsure": "no evidence"}.get(phase, "other")  # type: ignore[return-value]

    return vote


def voter_of(settings: GateSettings, given: ImageVote | None = None) -> ImageVote | None:
    """Return the vote to ask: the given one, else the one of this module if the settings ask for it."""
    return given or (image_voter(settings) if settings.image_vote else None)


def _affine(geometry: Geometry, thin: int) -> np.ndarray:
    affine = geometry.affine_lps.copy()
    affine[:3, 2] *= thin
    return affine
