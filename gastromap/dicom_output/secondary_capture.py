"""Secondary captures of the key slice and of the heat map: what a plain PACS can draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from gastromap.dicom_output.attributes import ObjectContext, finish, new_uid, source_reference
from gastromap.volume import SliceSource

__all__ = ["KEY_SERIES_NUMBER", "OVERLAY_SERIES_NUMBER", "build_multiframe_capture", "build_secondary_capture"]

KEY_SERIES_NUMBER = 9005
OVERLAY_SERIES_NUMBER = 9006


def build_secondary_capture(
    pixels: NDArray[np.uint8],
    context: ObjectContext,
    *,
    source: SliceSource,
    series_number: int,
    description: str,
    derivation: str = "",
    orientation: tuple[str, str],
) -> Dataset:
    """Build a true-colour secondary capture of one picture.

    Parameters
    ----------
    pixels : array, shape (rows, columns, 3), uint8
        Picture with its research-use line burnt in.
    context : ObjectContext
        Shared facts of the run.
    source : SliceSource
        Slice that the picture shows.
    series_number : int
        Fixed number of this kind of object.
    description : str
        What the picture shows, for SeriesDescription.
    derivation : str
        How it was computed from the slice, for DerivationDescription; ASCII.
    orientation : tuple of str
        Patient direction of the picture's rows and columns, for example ``("L", "P")``.

    Returns
    -------
    dataset : Dataset
        Secondary Capture Image, finished.
    """
    image = _capture(
        pixels[None], context, (source,), series_number=series_number, derivation=derivation, orientation=orientation
    )
    image.SOPClassUID = SecondaryCaptureImageStorage
    return finish(image, context, description=description)


def build_multiframe_capture(
    frames: NDArray[np.uint8],
    context: ObjectContext,
    *,
    sources: Sequence[SliceSource],
    labels: Sequence[str],
    series_number: int,
    description: str,
    derivation: str,
    orientation: tuple[str, str],
) -> Dataset:
    """Build a true-colour secondary capture of several pictures, to be paged through.

    Parameters
    ----------
    frames : array, shape (frames, rows, columns, 3), uint8
        Pictures with their research-use line burnt in.
    context : ObjectContext
        Shared facts of the run.
    sources : sequence of SliceSource
        Slice that each picture shows.
    labels : sequence of str
        What each picture is called, ASCII, at most 16 characters.
    series_number, description, derivation, orientation
        As of :func:`build_secondary_capture`.

    Returns
    -------
    dataset : Dataset
        Multi-frame True Color Secondary Capture Image (PS3.3 A.8.5), finished.
    """
    image = _capture(
        frames, context, sources, series_number=series_number, derivation=derivation, orientation=orientation
    )
    image.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    # Multi-frame, SC Multi-frame Vector
    image.NumberOfFrames = len(frames)
    image.FrameIncrementPointer = Tag("FrameLabelVector")
    image.FrameLabelVector = list(labels)
    return finish(image, context, description=description)


def _capture(
    frames: NDArray[np.uint8],
    context: ObjectContext,
    sources: Sequence[SliceSource],
    *,
    series_number: int,
    derivation: str,
    orientation: tuple[str, str],
) -> Dataset:
    """Everything that both kinds share."""
    _, rows, columns, samples = frames.shape
    image = Dataset()
    # SOP Common, General Series
    image.SOPInstanceUID = new_uid()
    image.Modality = "OT"
    image.SeriesInstanceUID = new_uid()
    image.SeriesNumber = series_number
    # SC Equipment: made by a workstation
    image.ConversionType = "WSD"
    # General Image, General Reference
    image.ImageType = ["DERIVED", "SECONDARY"]
    if derivation:
        image.DerivationDescription = derivation
    image.PatientOrientation = list(orientation)
    image.BurnedInAnnotation = "YES"
    image.SourceImageSequence = [source_reference(source, purpose=True) for source in sources]
    # SC Image
    image.DateOfSecondaryCapture = context.moment.strftime("%Y%m%d")
    image.TimeOfSecondaryCapture = context.moment.strftime("%H%M%S")
    # Image Pixel
    image.SamplesPerPixel = samples
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.Rows, image.Columns = rows, columns
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    data = np.ascontiguousarray(frames).tobytes()
    image.PixelData = data + b"\0" * (len(data) % 2)
    image["PixelData"].VR = "OB"
    return image
