"""The key slice as a Key Object Selection: a bookmark in the PACS."""

from __future__ import annotations

from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import ObjectContext, finish, object_arguments
from gastromap.dicom_output.codes import C, code
from gastromap.dicom_output.evidence import described_slice
from gastromap.dicom_output.sr_groups import device_observer
from gastromap.reports.phrases import RESEARCH_USE
from gastromap.results import KeySlice
from gastromap.volume import CtVolume

__all__ = ["KEY_OBJECT_SERIES_NUMBER", "build_key_object"]

KEY_OBJECT_SERIES_NUMBER = 9004


def build_key_object(key: KeySlice, volume: CtVolume, context: ObjectContext) -> Dataset:
    """Build the selection of one slice.

    Parameters
    ----------
    key : KeySlice
    volume : CtVolume
        Its volume.
    context : ObjectContext
        Of the study of the volume.

    Returns
    -------
    Dataset
        Key Object Selection Document, finished. As input of a later run it is passed over, as all own results are.
    """
    from highdicom import ko

    slice_ = described_slice(volume, key.index)
    selection = ko.KeyObjectSelection(
        document_title=code(C.OF_INTEREST),
        referenced_objects=[slice_],
        observer_device_context=device_observer(context),
        description=f"Slice that was staged, found by {key.origin}; {RESEARCH_USE}",
    )
    document = ko.KeyObjectSelectionDocument(
        evidence=[slice_],
        content=selection,
        **object_arguments(KEY_OBJECT_SERIES_NUMBER),
    )
    return finish(document, context, description="key slice mark")
