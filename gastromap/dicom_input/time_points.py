"""The series of every examination of a patient: of one study, or of the studies before and after treatment."""

from __future__ import annotations

from collections.abc import Sequence

from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.select import ONLY_SERIES, SelectedSeries, select_series, unknown_series
from gastromap.dicom_input.studies import NamedStudies, Role, check_any_ct, study_roles
from gastromap.errors import UsageError
from gastromap.volume import CtVolume

__all__ = ["key_slice_requests", "select_time_points"]


def select_time_points(
    folder: DicomFolder,
    *,
    settings: GateSettings,
    series_uids: Sequence[str] = (),
    named_studies: NamedStudies = NamedStudies(),  # noqa: B008 - frozen
    only: Role | None = None,
) -> tuple[SelectedSeries, ...]:
    """Choose the portal-venous series of each study, or refuse: one refusal refuses them all.

    Half a comparison could be read as a whole one, so the caller has to say so (``only``) if one study is to do.

    Parameters
    ----------
    folder : DicomFolder
    settings : GateSettings
    series_uids : sequence of str
        Series named by the caller; each stands for the study it belongs to. ``only`` names the one CT series of a
        folder.
    named_studies : NamedStudies, optional
        As in :func:`gastromap.dicom_input.study_roles`.
    only : {"baseline", "followup"}, optional
        Leave the other study aside.

    Returns
    -------
    tuple of SelectedSeries
        The baseline first.

    Raises
    ------
    UsageError, Refusal
        As of :func:`select_series`; ``SERIES_UNKNOWN`` also for two series of one study.
    """
    check_any_ct(folder)
    roles = study_roles(folder, named_studies)
    wanted = {role: None for role in ("baseline", "followup") if role in roles.values() and only in (None, role)}
    named: dict[str, str | None] = dict(wanted)
    for uid in series_uids:
        role = _role_of(folder, uid, roles)
        if role is None or named.get(role) is not None:
            raise unknown_series()
        if role in named:
            named[role] = uid
    if only is not None and not wanted:
        named[only] = None  # select_series says that this study is not there
    chosen = []
    for role in sorted(named):  # baseline before followup
        chosen.append(
            select_series(
                folder,
                settings=settings,
                series_uid=named[role],
                role="baseline" if role == "baseline" else "followup",
                named_studies=named_studies,
            )
        )
    return tuple(chosen)


def _role_of(folder: DicomFolder, uid: str, roles: dict[str, Role]) -> str | None:
    if uid == ONLY_SERIES and len(folder.series) == 1:
        uid = folder.series[0].uid
    study = next((image.study_uid for image in folder.images if image.series_uid == uid), None)
    return None if study is None else roles.get(study)


def key_slice_requests(volumes: Sequence[CtVolume], requested: Sequence[str]) -> tuple[str | None, ...]:
    """Say which volume each named key slice is of: a UID is of the volume that holds it, an index of the first one.

    Parameters
    ----------
    volumes : sequence of CtVolume
    requested : sequence of str
        SOP Instance UIDs, or indices from the feet.

    Returns
    -------
    tuple of str or None
        One for each volume.

    Raises
    ------
    UsageError
        ``KEY_SLICE_UNKNOWN``: two for one volume.
    """
    found: list[str | None] = [None] * len(volumes)
    for text in requested:
        number = next(
            (n for n, volume in enumerate(volumes) if any(s.sop_instance_uid == text.strip() for s in volume.sources)),
            0,
        )
        if found[number] is not None:
            raise UsageError(
                "KEY_SLICE_UNKNOWN",
                where=f"{volumes[number].role} {volumes[number].series.label}",
                expected="one key slice a study",
                got="two",
                remedy="Name the key slice of the second study by its SOP Instance UID.",
            )
        found[number] = text
    return tuple(found)
