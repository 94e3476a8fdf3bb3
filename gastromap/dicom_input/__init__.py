"""The input gate: from a folder of DICOM files to one checked CT volume, or a refusal that says why.

The four steps are called in this order::

    folder = load_folder(path, settings=settings)
    selected = select_series(folder, settings=settings)  # or select_time_points for two studies
    volume = build_volume(selected, settings=settings)
    key_slice = gastromap.key_slice.find_key_slice(folder, volume, requested=None)  # or gastromap.examination.examine

The gate never guesses: a wrong patient, phase or geometry gives a plausible but false stage. Limits act on file meta
and header; a child process with limits on time and memory meets long headers and compressed pixels.
"""

from gastromap.dicom_input.folder import DicomFolder, SeriesEntry, load_folder
from gastromap.dicom_input.hounsfield import build_volume
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.select import SelectedSeries, select_series
from gastromap.dicom_input.studies import NamedStudies, study_roles
from gastromap.dicom_input.time_points import key_slice_requests, select_time_points

__all__ = [
    "DicomFolder",
    "GateSettings",
    "NamedStudies",
    "SelectedSeries",
    "SeriesEntry",
    "build_volume",
    "key_slice_requests",
    "load_folder",
    "select_series",
    "select_time_points",
    "study_roles",
]
