"""Find the key slice: the slice with the largest tumour cross-section.

The order of authority is the call, a DICOM segmentation, an RT structure set, a Key Object Selection, the tumour
segmentation model. Who chose the slice is part of every result; without any of them the case is refused, because a
guessed slice would be staged without a sign that it was guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom

from gastromap.dicom_input.folder import DicomFolder
from gastromap.dicom_input.labels import quiet_pydicom
from gastromap.dicom_input.outlines import rtstruct_areas, seg_areas
from gastromap.dicom_input.parse import ParsedFile
from gastromap.dicom_input.segments import OutlineError, belongs_to, own_result
from gastromap.errors import Refusal, UsageError
from gastromap.results import KeySlice, KeySliceOrigin
from gastromap.volume import CtVolume

if TYPE_CHECKING:
    from gastromap.segmentation.finder import TumourFinding

__all__ = ["automatic_key_slice", "find_key_slice", "key_slice_at", "marked_key_slice", "no_key_slice"]

#: Key object titles that reject images (PS3.16 CID 7011): the opposite of a choice.
_REJECTING_TITLES = {"113001", "113010", "113037", "113038", "113039"}
_MAX_CONTENT_DEPTH = 16
_REMEDY = "Name the key slice, or send a segmentation of the tumour or a key object with the study."


def key_slice_at(volume: CtVolume, index: int, origin: KeySliceOrigin, area_mm2: float | None = None) -> KeySlice:
    """Key slice at a slice index of a volume, with who chose it and the tumour area there, if known."""
    position = volume.affine_lps[:3, 2] * index + volume.affine_lps[:3, 3]
    return KeySlice(
        index=index,
        index_from_feet=volume.index_from_feet(index),
        sop_instance_uid=volume.sources[index].sop_instance_uid,
        position_mm=float(position[2]),
        origin=origin,
        tumour_area_mm2=area_mm2,
    )


def _requested(volume: CtVolume, requested: str) -> KeySlice:
    count = len(volume.sources)
    text = requested.strip()
    if text.isascii() and text.isdigit():
        if int(text) < count:
            return key_slice_at(volume, volume.index_from_feet(int(text)), "call_index")
        got = "an index beyond the last slice"
    else:
        for index, source in enumerate(volume.sources):
            if source.sop_instance_uid == text:
                return key_slice_at(volume, index, "call_uid")
        got = "neither an index nor the UID of one of its slices"
    raise UsageError(
        "KEY_SLICE_UNKNOWN",
        where=f"{volume.role} {volume.series.label}",
        expected=f"a SOP Instance UID of the series or an index from the feet, 0 to {count - 1}",
        got=got,
        remedy="Name a slice of the chosen series.",
    )


def _largest(
    folder: DicomFolder,
    volume: CtVolume,
    kind: KeySliceOrigin,
    measure: Callable[[ParsedFile, CtVolume], Mapping[int, float]],
) -> KeySlice | None:
    areas: dict[int, float] = {}
    for parsed in folder.objects:
        if parsed.kind != kind or parsed.header is None or own_result(parsed.header):
            continue
        try:
            found = measure(parsed, volume)
        except (OutlineError, AttributeError, TypeError, ValueError, RuntimeError, OSError) as error:
            # The other types come from attributes that are absent or hold something else than the standard says.
            got = str(error) if isinstance(error, OutlineError) else f"an invalid one ({type(error).__name__})"
            raise Refusal(
                "PIXEL_DATA",
                where=folder.file_label(parsed),
                expected="a readable tumour segmentation",
                got=got,
                remedy="Send the segmentation again or name the key slice.",
            ) from None
        for index, area in found.items():
            areas[index] = max(areas.get(index, 0.0), area)
    if not areas:
        return None
    # Equal areas: the slice nearer to the feet, so that the answer does not depend on the order of frames.
    index = min(areas, key=lambda item: (-areas[item], volume.index_from_feet(item)))
    return key_slice_at(volume, index, kind, areas[index])


def _referenced_uids(item: pydicom.Dataset, depth: int = 0) -> set[str]:
    uids = {
        str(reference.get("ReferencedSOPInstanceUID") or "") for reference in item.get("ReferencedSOPSequence") or ()
    }
    if depth < _MAX_CONTENT_DEPTH:
        for child in item.get("ContentSequence") or ():
            uids |= _referenced_uids(child, depth + 1)
    return uids


def _key_object(folder: DicomFolder, volume: CtVolume) -> KeySlice | None:
    referenced: set[str] = set()
    for parsed in folder.objects:
        header = parsed.header
        if parsed.kind != "kos" or header is None or own_result(header) or not belongs_to(header, volume):
            continue
        titles = {str(item.get("CodeValue") or "").strip() for item in header.get("ConceptNameCodeSequence") or ()}
        if not titles & _REJECTING_TITLES:
            referenced |= _referenced_uids(header)
    chosen = [index for index, source in enumerate(volume.sources) if source.sop_instance_uid in referenced]
    if len(chosen) > 1:
        raise Refusal(
            "NO_KEY_SLICE",
            where=f"{volume.role} {volume.series.label}",
            expected="one key slice",
            got=f"key objects that reference {len(chosen)} slices of the series",
            remedy=_REMEDY,
        )
    return key_slice_at(volume, chosen[0], "kos") if chosen else None


def find_key_slice(
    folder: DicomFolder,
    volume: CtVolume,
    *,
    requested: str | None = None,
    find_tumour: Callable[[CtVolume], TumourFinding] | None = None,
) -> KeySlice:
    """Find the slice to stage and say who chose it.

    Parameters
    ----------
    folder : DicomFolder
        The folder the volume comes from, with its SEG, RTSTRUCT and key objects.
    volume : CtVolume
    requested : str, optional
        As of :func:`marked_key_slice`.
    find_tumour : callable, optional
        Asked last, where nobody has marked a tumour.

    Returns
    -------
    key_slice : KeySlice
        ``tumour_area_mm2`` is set for SEG, RTSTRUCT and the model.

    Raises
    ------
    UsageError
        ``KEY_SLICE_UNKNOWN``.
    Refusal
        ``NO_KEY_SLICE``; ``NO_TUMOUR`` if the model finds none; ``PIXEL_DATA`` if a tumour segmentation cannot be read.
    """
    found = marked_key_slice(folder, volume, requested=requested)
    if found is not None:
        return found
    if find_tumour is None:
        raise no_key_slice(folder, volume)
    return automatic_key_slice(volume, find_tumour(volume))


def marked_key_slice(folder: DicomFolder, volume: CtVolume, *, requested: str | None = None) -> KeySlice | None:
    """Return the slice that somebody has named or marked, or None.

    Parameters
    ----------
    folder : DicomFolder
    volume : CtVolume
    requested : str, optional
        A SOP Instance UID of the series, or an index counted from the feet upwards starting at 0. It wins over all
        objects of the folder.

    Raises
    ------
    UsageError, Refusal
        As of :func:`find_key_slice`.

    Notes
    -----
    The largest area is that of one segment or polygon, in mm^2 of its own pixel spacing; areas of several segments
    are not added. Objects of another study or frame of reference are ignored; another patient has been refused
    before.
    """
    if requested is not None:
        return _requested(volume, requested)
    with quiet_pydicom():
        return (
            _largest(folder, volume, "seg", seg_areas)
            or _largest(folder, volume, "rtstruct", rtstruct_areas)
            or _key_object(folder, volume)
        )


def no_key_slice(folder: DicomFolder, volume: CtVolume) -> Refusal:
    """Make the refusal of a study in which nobody has marked a tumour."""
    return Refusal(
        "NO_KEY_SLICE",
        where=f"{volume.role} {volume.series.label}",
        expected="a key slice from the call, a SEG, an RTSTRUCT or a key object",
        got=f"{len(folder.objects)} objects, none of which marks a tumour in the series",
        remedy=_REMEDY,
    )


def automatic_key_slice(volume: CtVolume, finding: TumourFinding) -> KeySlice:
    """Return the slice with the largest area of the mask that the segmentation model found.

    Raises
    ------
    Refusal
        ``NO_TUMOUR``.
    """
    if not finding.found or finding.key_index is None:
        raise Refusal(
            "NO_TUMOUR",
            where=f"{volume.role} {volume.series.label}",
            expected="a gastric tumour that the segmentation model can see",
            got=f"{finding.reason}, not staged",
            remedy="If there is a tumour, name the key slice or send a segmentation of it.",
        )
    found = key_slice_at(volume, finding.key_index, "auto", finding.key_area_mm2)
    return replace(found, weak_signs=not finding.sure)
