"""Step 5 of the gate: which sub-series of a study could be the axial soft-kernel one.

A series is split before it is judged, because one series UID may hold several volumes; a series that is dropped as a
whole need not be separable.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gastromap.dicom_input.decode import stored_digest
from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.kernels import is_sharp_kernel
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.phase import Candidate, dropped_by_text
from gastromap.dicom_input.studies import Role, enhanced_refusal
from gastromap.dicom_input.subseries import is_axial, split_series
from gastromap.errors import Refusal

__all__ = ["CandidateFinder"]


class CandidateFinder:
    """Splits the series of a study and sorts out what cannot be chosen.

    Parameters
    ----------
    folder : DicomFolder
    settings : GateSettings
    role : str
        For messages.

    Attributes
    ----------
    warnings : list of str
        Codes met on the way.
    """

    def __init__(self, folder: DicomFolder, settings: GateSettings, role: Role) -> None:
        self.folder = folder
        self.settings = settings
        self.role: Role = role
        self.warnings: list[str] = []

    def _label(self, image: CtImage) -> str:
        return f"{self.role} {self.folder.labels.series(image.series_number, image.series_uid)}"

    def _digest(self, image: CtImage) -> str:
        return stored_digest(image, settings=self.settings)

    def _unique(self, images: Sequence[CtImage]) -> list[CtImage]:
        """Keep each SOP Instance UID once; two contents under one are a fault of the sender."""
        groups: dict[str, list[CtImage]] = defaultdict(list)
        for image in images:
            groups[image.sop_uid].append(image)
        conflicts = 0
        for group in groups.values():
            if len(group) > 1:
                self.warnings.append("DUPLICATES_DROPPED")
                contents = {(image.series_uid, str(image.position_mm), self._digest(image)) for image in group}
                conflicts += len(contents) > 1
        if conflicts:
            raise Refusal(
                "DUPLICATE_CONFLICT",
                where=self._label(images[0]),
                expected="one content a SOP Instance UID",
                got=f"{conflicts} with two",
                remedy="Correct the sender.",
            )
        return [group[0] for group in groups.values()]

    def parts(self, images: Sequence[CtImage]) -> list[Candidate]:
        """Split one series into volumes, without judging them."""
        split = split_series(
            self._unique(images),
            digest=self._digest,
            where=self._label(images[0]),
            max_axial_degrees=self.settings.max_axial_degrees,
        )
        self.warnings.extend(split.warnings)
        return [Candidate(part, self._label(part[0])) for part in split.parts]

    def rejection(self, candidate: Candidate) -> str:
        """Say why a candidate cannot be chosen, whatever its phase; empty if it can."""
        first = candidate.first
        if any("LOCALIZER" in word for image in candidate.images for word in image.image_type):
            return "localizer"
        if first.image_type and (first.image_type[0] == "DERIVED" or "SECONDARY" in first.image_type[1:2]):
            return "derived or secondary"
        if not is_axial(first, max_degrees=self.settings.max_axial_degrees):
            return "not axial"
        if is_sharp_kernel(first.kernel):
            return "sharp kernel"
        if dropped_by_text(first.description):
            return "reformat or other purpose"
        return "too few slices" if len(candidate.images) < self.settings.min_slices else ""

    def find(self, images: Sequence[CtImage]) -> tuple[list[Candidate], list[Candidate]]:
        """Split all series of a study and judge the parts.

        Parameters
        ----------
        images : sequence of CtImage
            Of one study.

        Returns
        -------
        kept, rejected : list of Candidate
            At least one is kept; the rejected ones say why.

        Raises
        ------
        Refusal
            ``DUPLICATE_CONFLICT``, ``PHASE_MIXED``, ``NO_AXIAL_SERIES``, ``ENHANCED_UNSUPPORTED``.
        """
        series: dict[str, list[CtImage]] = defaultdict(list)
        for image in images:
            series[image.series_uid].append(image)
        kept: list[Candidate] = []
        rejected: list[Candidate] = []
        for uid in sorted(series):
            for candidate in self.volumes(series[uid]):
                reason = self.rejection(candidate)
                (rejected if reason else kept).append(replace(candidate, lost_because=reason))
        if not kept:
            # One short series alone: that it is short is the better answer than that there is none.
            kept = [replace(item, lost_because="") for item in rejected if item.lost_because == "too few slices"]
            rejected = [item for item in rejected if item.lost_because != "too few slices"]
        if not kept:
            self._refuse_no_axial(rejected)
        return kept, rejected

    def volumes(self, images: Sequence[CtImage]) -> list[Candidate]:
        """Split one series into volumes, or return it whole if it is rejected as a whole."""
        whole = Candidate(tuple({image.sop_uid: image for image in images}.values()), self._label(images[0]))
        # A series rejected as a whole need not be separable.
        if self.rejection(whole) in ("derived or secondary", "sharp kernel", "reformat or other purpose"):
            return [whole]
        return self.parts(images)

    def _refuse_no_axial(self, rejected: Sequence[Candidate]) -> None:
        if self.folder.enhanced:
            raise enhanced_refusal(self.role)
        reasons = Counter(candidate.lost_because for candidate in rejected)
        counts = ", ".join(f"{reason} ({number})" for reason, number in sorted(reasons.items()))
        raise Refusal(
            "NO_AXIAL_SERIES",
            where=self.role,
            expected="an axial soft-kernel series",
            got=f"{len(rejected)} series, rejected as {counts}",
            remedy="Send the axial reconstruction.",
        )
