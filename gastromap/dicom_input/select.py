"""Steps 4 to 7 of the gate in order: roles, candidates, phase decision, geometry of the chosen series.

Order of the refusals, where several apply. A lone candidate has its geometry checked before its phase: a gap is not
cured by naming the series, so it is the more useful answer. A proven gap comes before FILE_UNREADABLE; gaps that the
damaged files could explain do not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gastromap.dicom_input.candidates import CandidateFinder
from gastromap.dicom_input.decision import choose_portal, loser_reason, with_votes
from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.geometry import Geometry, continues, plan_geometry
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.image_vote import voter_of
from gastromap.dicom_input.kernels import is_sharp_kernel
from gastromap.dicom_input.labels import Labels, quiet_pydicom
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.phase import Candidate, ImageVote, Vote
from gastromap.dicom_input.studies import NamedStudies, Role, check_any_ct, study_roles, unreadable_refusal
from gastromap.errors import Refusal, UsageError
from gastromap.volume import SeriesRecord

__all__ = ["ONLY_SERIES", "SelectedSeries", "select_series", "unknown_series"]

_log = logging.getLogger(__name__)
_NO_VOTES: dict[str, Vote] = dict.fromkeys(("text", "timing", "order", "image"), "no evidence")
#: Faults of geometry that a damaged file of the same series would explain.
_EXPLAINED_BY_DAMAGE = ("SPACING_VARIES", "COVERAGE", "TOO_FEW_SLICES")


@dataclass(frozen=True)
class SelectedSeries:
    """The series the volume is built from, checked on headers.

    Attributes
    ----------
    geometry : Geometry
        Slices in order and affine.
    record : SeriesRecord
        With phase and votes.
    role : str
        ``baseline`` or ``followup``.
    runners_up : tuple of SeriesRecord
        Other axial series; ``phase`` says why each lost.
    warnings : tuple of str
        Codes of scan, parse and selection.
    """

    geometry: Geometry = field(repr=False)
    record: SeriesRecord
    role: Role
    runners_up: tuple[SeriesRecord, ...]
    warnings: tuple[str, ...]
    where: str
    labels: Labels = field(repr=False)

    @property
    def images(self) -> tuple[CtImage, ...]:
        """The slices, rising along the slice normal."""
        return self.geometry.images


class _Selection:
    """What the last steps share: folder, settings, role and the warnings so far."""

    def __init__(self, folder: DicomFolder, settings: GateSettings, role: Role, image_vote: ImageVote | None) -> None:
        self.folder = folder
        self.settings = settings
        self.role: Role = role
        self.image_vote = voter_of(settings, image_vote)
        self.finder = CandidateFinder(folder, settings, role)
        self.warnings: list[str] = list(folder.warnings)

    def vote(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return with_votes(candidates, self.image_vote)

    def choose(self, voted: Sequence[Candidate]) -> Candidate:
        return choose_portal(voted, settings=self.settings, role=self.role)

    def geometry(self, candidate: Candidate) -> Geometry:
        uid = candidate.first.series_uid
        damaged = [parsed for parsed in self.folder.damaged if parsed.series_uid in ("", uid)]
        where = candidate.label
        try:
            geometry = plan_geometry(candidate.images, settings=self.settings, where=where, damaged=len(damaged))
        except Refusal as refusal:
            if damaged and refusal.code in _EXPLAINED_BY_DAMAGE:
                raise unreadable_refusal(self.folder, self.role, damaged) from None
            raise
        if damaged:
            raise unreadable_refusal(self.folder, self.role, damaged)
        if len(self.folder.damaged) > len(damaged):
            self.warnings.append("OTHER_SERIES_DAMAGED")
        return geometry

    def look_around(self, geometry: Geometry, study: Sequence[CtImage]) -> None:
        """Warn of what may belong to the chosen series and is not in it."""
        uid = geometry.images[0].series_uid
        if uid in self.folder.other_series:
            self.warnings.append("OTHER_OBJECTS")
        if any(image.parsed.meta_differs for image in geometry.images):
            self.warnings.append("META_DIFFERS")
        sizes = Counter(image.series_uid for image in study)
        # A whole series next to this one is another scan; a few images there are more likely its lost end.
        strays = [i for i in study if i.series_uid != uid and sizes[i.series_uid] < self.settings.min_slices]
        if any(continues(geometry, image) for image in strays):
            self.warnings.append("ENDS_MISSING")

    def record(self, candidate: Candidate, phase: str, geometry: Geometry | None = None) -> SeriesRecord:
        first = candidate.first
        return SeriesRecord(
            series_instance_uid=first.series_uid,
            study_instance_uid=first.study_uid,
            series_number=first.series_number,
            label=candidate.label.removeprefix(f"{self.role} "),
            number_of_slices=len(candidate.images),
            step_mm=geometry.step_mm if geometry else candidate.step_mm or 0.0,
            thickness_mm=candidate.thickness_mm,
            kernel=first.kernel,
            phase=phase,
            votes=dict(candidate.votes or _NO_VOTES),
        )


def unknown_series() -> UsageError:
    """Make the error of a series that was named and is not there."""
    return UsageError(
        "SERIES_UNKNOWN",
        where="input",
        expected="the Series Instance UID of a CT series in the folder, one a study",
        got="one that is not there, or two of one study",
        remedy="List the series and name one of them.",
    )


#: Name for the one CT series of a folder.
ONLY_SERIES = "only"


def select_series(
    folder: DicomFolder,
    *,
    settings: GateSettings,
    series_uid: str | None = None,
    role: Role = "baseline",
    named_studies: NamedStudies = NamedStudies(),  # noqa: B008 - frozen
    image_vote: ImageVote | None = None,
) -> SelectedSeries:
    """Choose the one portal-venous axial series of a study, or refuse.

    Parameters
    ----------
    folder : DicomFolder
    settings : GateSettings
    series_uid : str, optional
        A series named by the caller, or ``only`` for the one CT series of the folder (its UID may be blanked). It
        replaces the votes, never the patient check, geometry or decoding.
    role : {"baseline", "followup"}
        Which of two studies; with one study there is only the baseline. A named series brings its own role.
    named_studies : NamedStudies, optional
        As in :func:`gastromap.dicom_input.study_roles`.
    image_vote : callable, optional
        The fourth vote: gets the images of a candidate and returns a vote. By default
        ``gastromap.dicom_input.image_vote`` if the settings ask for it.

    Returns
    -------
    selected : SelectedSeries

    Raises
    ------
    UsageError
        ``SERIES_UNKNOWN``, ``ROLE_UNKNOWN``, ``STUDY_UNKNOWN``.
    Refusal
        Codes of steps 4 to 7.
    """
    with quiet_pydicom():
        check_any_ct(folder)
        roles = study_roles(folder, named_studies)
        if series_uid == ONLY_SERIES and len(folder.series) == 1:
            series_uid = folder.series[0].uid
        if series_uid is not None:
            named = [image for image in folder.images if image.series_uid == series_uid]
            if not named or named[0].study_uid not in roles:
                raise unknown_series()
            role = roles[named[0].study_uid]
        elif role not in roles.values():
            raise UsageError(
                "ROLE_UNKNOWN",
                where=role,
                expected="a second CT study",
                got="one study",
                remedy="Send both studies or ask for the baseline.",
            )
        study = [image for image in folder.images if roles.get(image.study_uid) == role]
        selection = _Selection(folder, settings, role, image_vote)
        if len(roles) > 1 and not named_studies:
            selection.warnings.append("ROLE_BY_DATE")
        if series_uid is not None:
            named = [image for image in study if image.series_uid == series_uid]
            selected = _named(selection, named, study)
        else:
            selected = _voted(selection, study)
    for record in (selected.record, *selected.runners_up):
        votes = " ".join(f"{source}={vote}" for source, vote in record.votes.items())
        _log.info("%s %s, %d images: %s; %s", role, record.label, record.number_of_slices, record.phase, votes)
    return selected


def _named(selection: _Selection, images: Sequence[CtImage], study: Sequence[CtImage]) -> SelectedSeries:
    parts = selection.finder.parts(images)
    # The name replaces the votes, so the pixels are not asked; what the headers say is recorded. A name that covers
    # several volumes does not say which one; then the votes must.
    parts = with_votes(parts) if len(parts) == 1 else selection.vote(parts)
    chosen = parts[0] if len(parts) == 1 else selection.choose(parts)
    selection.warnings.append("SERIES_BY_OPERATOR")
    if is_sharp_kernel(chosen.first.kernel):
        selection.warnings.append("KERNEL_SHARP")
    geometry = selection.geometry(chosen)
    others = [item for item in parts if item is not chosen]
    selection.look_around(geometry, study)
    return _selected(selection, chosen, geometry, "named by the caller", others)


def _voted(selection: _Selection, study: Sequence[CtImage]) -> SelectedSeries:
    kept, rejected = selection.finder.find(study)
    lone = selection.geometry(kept[0]) if len(kept) == 1 else None
    voted = selection.vote(kept)
    chosen = selection.choose(voted)
    if chosen.count("portal") == 1:
        selection.warnings.append("PHASE_ONE_SOURCE")
    geometry = lone or selection.geometry(chosen)
    others = [item for item in voted if item is not chosen] + rejected
    selection.look_around(geometry, study)
    return _selected(selection, chosen, geometry, "portal-venous", others)


def _selected(
    selection: _Selection,
    chosen: Candidate,
    geometry: Geometry,
    phase: str,
    others: Sequence[Candidate],
) -> SelectedSeries:
    fewest, uid = selection.settings.min_slices, chosen.first.series_uid
    if any(item.first.series_uid == uid and len(item.images) < fewest for item in others):
        selection.warnings.append("SLICES_LEFT_OUT")
    losers = tuple(
        selection.record(item, f"lost: {item.lost_because or loser_reason(item, settings=selection.settings)}")
        for item in others
    )
    return SelectedSeries(
        geometry=geometry,
        record=selection.record(chosen, phase, geometry),
        role=selection.role,
        runners_up=losers,
        warnings=tuple(dict.fromkeys([*selection.warnings, *selection.finder.warnings, *geometry.warnings])),
        where=chosen.label,
        labels=selection.folder.labels,
    )
