"""Secondary captures of the key slice and of the heat map: what a plain PACS can draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from gastromap.dicom_output.attributes import ObjectContext, finish, new_uid, source_reference
from gastromap.volume import SliceSource

__all__ = ["KEY_SERIES_NUMBER", "OVERLAY_SERIES_NUMBER", "build_secondary_capture"]

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
    rows, columns, samples = pixels.shape
    image = Dataset()
    # SOP Common, General Series
    image.SOPClassUID = SecondaryCaptureImageStorage
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
    image.SourceImageSequence = [source_reference(source, purpose=True)]
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
    data = np.ascontiguousarray(pixels).tobytes()
    image.PixelData = data + b"\0" * (len(data) % 2)
    image["PixelData"].VR = "OB"
    return finish(image, context, description=description)
