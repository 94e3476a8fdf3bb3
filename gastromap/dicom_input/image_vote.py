"""The fourth vote on the contrast phase: what the organs themselves show.

Limits are in Hounsfield units at 120 kV after a usual dose of contrast. They leave room between the phases, and what
falls there is no evidence: a late arterial or an early delayed scan is not to be taken for a portal-venous one.

Measured by ``python -m benchmarks.image_vote --patients 60 --seed 20262``, patients on whom nothing was tuned, at three
centres. With the HU of the phantom, equal in all patients, each of the 240 scans is read right. With HU that vary from
patient to patient (dose, fatty livers, aorta and kidneys each on their own; the spread is chosen, not measured)::

    true/said    plain  arterial  portal  delayed  unsure
    plain           60         0       0        0       0
    arterial         0        60       0        0       0
    portal           0         0      46        1      13
    delayed          0         0       1       43      16

Scans of patients: three portal-venous, one arterial and one without contrast, all read right, but they were looked at
while the limits were chosen; none delayed is at hand.
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

#: Slices and length over which the aorta must have been followed, and how even it must be.
_LEAST_AORTA_SLICES, _LEAST_AORTA_MM = 6, 36.0
_MOST_AORTA_SPREAD, _SPREAD_SHARE = 20.0, 0.12  #: in HU, and as a part of the aorta's: early, contrast streams
#: Without contrast nothing before the spine and no liver is brighter.
_PLAIN_BRIGHTEST, _PLAIN_LIVER = 80.0, 85.0
_ARTERIAL_AORTA = 215.0
_PORTAL_AORTA = (110.0, 195.0)
_PORTAL_LIVER = 70.0
#: Liver over aorta: about 0.25 in the arterial, 0.6 to 0.75 in the portal-venous, 0.8 and more in the delayed phase.
_ARTERIAL_RATIO, _PORTAL_RATIO = 0.38, (0.5, 0.84)
#: A fatty liver or a small dose of contrast move it; the kidneys keep contrast while it leaves the aorta. Enhancement
#: of the aorta over that of the kidneys to the power of 0.7, as dose varies less than wash-out: about 3.5 in the
#: portal-venous, 2.6 and less in the delayed phase.
_NATIVE_KIDNEY, _NATIVE_AORTA, _KIDNEY_POWER = 33.0, 42.0, 0.7
_PORTAL_WASH_OUT, _DELAYED_WASH_OUT = 3.2, 2.8
_DELAYED_RATIO = 0.75
#: Where no kidney was found, the liver alone must be far from the other phase.
_PORTAL_ALONE, _DELAYED_ALONE = 0.7, 0.9


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
    short = found.aorta_slices < _LEAST_AORTA_SLICES or found.aorta_mm < _LEAST_AORTA_MM
    if aorta is None or short:
        # The liver must be there: at its level the aorta lies where it was looked for.
        dark = found.prevertebral_hu is not None and found.prevertebral_hu < _PLAIN_BRIGHTEST
        return "plain" if dark and liver is not None and liver < _PLAIN_LIVER else "unsure"
    if (found.aorta_spread_hu or 0.0) > max(_MOST_AORTA_SPREAD, _SPREAD_SHARE * aorta):
        return "unsure"
    ratio = None if liver is None else liver / aorta
    if aorta >= _ARTERIAL_AORTA or (ratio is not None and ratio <= _ARTERIAL_RATIO):
        return "arterial" if ratio is None or ratio <= _PORTAL_RATIO[0] else "unsure"
    if ratio is None or liver is None or ratio < _PORTAL_RATIO[0]:
        return "unsure"
    early, late = ratio <= _PORTAL_ALONE, ratio >= _DELAYED_ALONE
    if found.kidney_hu is not None:
        wash_out = (aorta - _NATIVE_AORTA) / max(found.kidney_hu - _NATIVE_KIDNEY, 1.0) ** _KIDNEY_POWER
        early = ratio <= _PORTAL_RATIO[1] and wash_out >= _PORTAL_WASH_OUT
        late = ratio >= _DELAYED_RATIO and wash_out <= _DELAYED_WASH_OUT
    sound = _PORTAL_AORTA[0] <= aorta <= _PORTAL_AORTA[1] and liver >= _PORTAL_LIVER
    if early:
        return "portal" if sound else "unsure"
    return "delayed" if late else "unsure"


def image_voter(settings: GateSettings) -> ImageVote:
    """Make the vote that looks at the pixels.

    Parameters
    ----------
    settings : GateSettings

    Returns
    -------
    vote : callable
        Gets the images of a candidate; slices 5 to 10 mm apart are decoded, the others are not read.
    """

    def vote(images: Sequence[CtImage]) -> Vote:
        # Imported here: scipy.ndimage takes longer to load than a refusal on headers takes.
        from gastromap.dicom_input.coarse import look_stride
        from gastromap.dicom_input.enhancement import measure_enhancement

        try:
            geometry = plan_geometry(images, settings=settings, where="candidate")
        except Refusal:
            return "no evidence"
        stride = look_stride(len(geometry.images), geometry.step_mm)
        hu = preview_hu(geometry.images[::stride], settings=settings, where="candidate")
        if hu is None:
            return "no evidence"
        found = measure_enhancement(hu, _affine(geometry, stride))
        phase = phase_of(found)
        _log.info("image vote %s: %s", phase, found)
        return {"portal": "portal", "unsure": "no evidence"}.get(phase, "other")  # type: ignore[return-value]

    return vote


def voter_of(settings: GateSettings, given: ImageVote | None = None) -> ImageVote | None:
    """Return the vote to ask: the given one, else the one of this module if the settings ask for it."""
    return given or (image_voter(settings) if settings.image_vote else None)


def _affine(geometry: Geometry, stride: int) -> np.ndarray:
    affine = geometry.affine_lps.copy()
    affine[:3, 2] *= stride
    return affine
