"""A study from the PACS into a folder that the input gate reads."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gastromap.dicom_input.segments import own_description
from gastromap.pacs.attempts import with_attempts
from gastromap.pacs.remote import PacsError, Remote, RemoteSeries
from gastromap.pacs.settings import PacsSettings, remote_of

__all__ = ["fetch_studies", "fetch_study", "fetched_studies"]

_log = logging.getLogger(__name__)
_MODALITIES = frozenset({"CT", "SEG", "RTSTRUCT", "KO"})


def fetch_study(
    study_uid: str,
    folder: Path,
    *,
    remote: Remote,
    settings: PacsSettings,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Get the CT series of a study, and the segmentations, structure sets and key objects that belong to it.

    Parameters
    ----------
    study_uid : str
    folder : Path
        Receives one folder a series, ``001`` and so on; it exists. Nothing of the patient is in a name.
    remote : Remote
    settings : PacsSettings
        How often a series is tried.
    progress : callable
        Called with the series done and their number.

    Returns
    -------
    int
        Instances written. Results of this program are not fetched.

    Raises
    ------
    PacsError
        ``PACS_NO_STUDY`` where the PACS has no CT of this study, ``PACS_INCOMPLETE`` where fewer instances came than
        the PACS says it has, or why it could not be asked. Series that had come stay in the folder; it is the
        caller's to remove.
    """
    series = [
        one
        for one in with_attempts(settings, lambda: remote.series_of(study_uid))
        if one.modality in _MODALITIES and not own_description(one.description)
    ]
    if not any(one.modality == "CT" for one in series):
        raise PacsError(
            "PACS_NO_STUDY",
            where="PACS",
            expected="a study with a CT series",
            got=f"{len(series)} other series" if series else "none under this UID",
            remedy="Check the Study Instance UID and the rights of this program.",
            lasting=True,
        )
    total = 0
    progress(0, len(series))
    for number, one in enumerate(series, start=1):
        total += with_attempts(settings, partial(_fetch, remote, study_uid, one, folder / f"{number:03d}"))
        progress(number, len(series))
    _log.info("%d instances of %d series fetched", total, len(series))
    return total


def fetch_studies(
    study_uids: Sequence[str],
    folder: Path,
    settings: PacsSettings,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Get studies into ``study1``, ``study2`` and so on below a folder; returns the number of instances.

    Raises
    ------
    PacsError
        As of :func:`fetch_study`.
    """
    remote, total = remote_of(settings), 0
    for number, study in enumerate(study_uids, start=1):
        target = folder / f"study{number}"
        target.mkdir()
        total += fetch_study(study, target, remote=remote, settings=settings, progress=progress)
    return total


@contextmanager
def fetched_studies(study_uids: Sequence[str], settings: PacsSettings) -> Iterator[Path]:
    """Folder with studies of a PACS, which goes at the end of the block.

    Raises
    ------
    PacsError
        As of :func:`fetch_study`.
    """
    with tempfile.TemporaryDirectory(prefix="gastromap-") as scratch:
        fetch_studies(study_uids, Path(scratch), settings)
        yield Path(scratch)


def _fetch(remote: Remote, study_uid: str, series: RemoteSeries, target: Path) -> int:
    # What an attempt before this one left.
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    count = remote.fetch(study_uid, series.series_uid, target)
    expected = 1 if series.instances is None else series.instances
    if count < expected:
        raise PacsError(
            "PACS_INCOMPLETE",
            where="retrieval",
            expected=f"{expected} instances",
            got=str(count),
            remedy="Try again; see the log of the PACS.",
        )
    return count
