"""Input folders for the runs of an image: a synthetic CT study, the same as platforms deliver it, and unfit ones.

The study's patient carries a name and number that occur nowhere else, so that a search in a container's log tells
whether patient data got there.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Samples", "Study", "make_samples", "read_study", "synthetic_study"]

_NAME, _NUMBER = "Zzmapcheck^Quintillian", "ZZMAPCHECK4711"
#: Small enough for a quick run, large enough for a network that wants 224 pixels of the stomach.
_MATRIX, _THICKNESS_MM, _SEED = 256, 5.0, 7
_FEW = 3
#: Shorter ones would turn up by chance.
_SHORTEST_MARK = 6


@dataclass(frozen=True)
class Study:
    """A DICOM study on disk and the texts that identify its patient."""

    folder: Path
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """Input folders, all readable by everyone.

    Attributes
    ----------
    plain : Path
        The study as it is.
    express : Path
        In folders by study and series, a ``.dcm.json`` beside each file, as MONAI Deploy Express delivers it.
    mercure : Path
        Flat, ``SERIES#FILE.dcm`` with ``.tags`` files and ``task.json``, as Mercure delivers it.
    empty, junk, few, other : Path
        Nothing; no DICOM; three slices of the longest CT series; the study called MR.
    marks : tuple of str
        Must not stand in any log.
    """

    plain: Path
    express: Path
    mercure: Path
    empty: Path
    junk: Path
    few: Path
    other: Path
    marks: tuple[str, ...]


def synthetic_study(folder: Path) -> Study:
    """Write a synthetic study with a tumour SEG; its patient has a name that occurs nowhere else."""
    import pydicom

    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    plan = CohortPlan(
        seed=_SEED, centres=(1,), stages=("T3",), matrix=_MATRIX, thickness_mm=_THICKNESS_MM, with_seg=True
    )
    write_cohort(plan, folder, patients=1, workers=1)
    (study,) = (folder / "studies").iterdir()
    for path in sorted(item for item in study.rglob("*") if item.is_file()):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = _NAME, _NUMBER
        dataset.save_as(path)
    return Study(study, (_NUMBER, *_NAME.split("^")))


def read_study(folder: Path) -> Study:
    """Take a study as given; what identifies its patient is read from the headers."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    marks: set[str] = set()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientName", "PatientID"])
        except InvalidDicomError:
            continue
        texts = [str(header.get("PatientID", "")), *str(header.get("PatientName", "")).split("^")]
        marks |= {text for text in texts if len(text) >= _SHORTEST_MARK}
    return Study(folder, tuple(sorted(marks)))


def make_samples(study: Study, folder: Path) -> Samples:
    """Make all input folders of a study below ``folder``."""
    names = ("plain", "express", "mercure", "empty", "junk", "few", "other")
    places = {name: folder / name for name in names}
    for place in places.values():
        place.mkdir(parents=True)
    files = _dicom_files(study.folder)
    _platforms(files, places)
    _junk(places["junk"])
    _unfit(files, places["few"], places["other"])
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return Samples(**places, marks=study.marks)


def _dicom_files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        with path.open("rb") as stream:
            if stream.read(132)[128:] == b"DICM":
                found.append(path)
    return found


def _platforms(files: list[Path], places: dict[str, Path]) -> None:
    import pydicom

    for number, path in enumerate(files):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
        sop = str(header.SOPInstanceUID)
        # Beside the images, what these platforms write about them: patient's name and number among it.
        tags = json.dumps({"PatientName": str(header.PatientName), "PatientID": str(header.PatientID)})
        shutil.copyfile(path, places["plain"] / f"{number:05d}.dcm")
        nested = places["express"] / study / series
        nested.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, nested / f"{sop}.dcm")
        (nested / f"{sop}.dcm.json").write_text(tags)
        shutil.copyfile(path, places["mercure"] / f"{series}#{sop}.dcm")
        (places["mercure"] / f"{series}#{sop}.tags").write_text(tags)
    task = {"info": {"action": "process", "uid_type": "study"}, "process": {"module_name": "gastromap", "settings": {}}}
    (places["mercure"] / "task.json").write_text(json.dumps(task))


def _junk(folder: Path) -> None:
    (folder / "notes.txt").write_text("no images here\n")
    (folder / "noise.dcm").write_bytes(bytes(range(256)) * 16)
    (folder / "preamble.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(256)))
    (folder / "task.json").write_text("{}")


def _unfit(files: list[Path], few: Path, other: Path) -> None:
    import pydicom
    from pydicom.uid import CTImageStorage, MRImageStorage

    series: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        # Reformats and dose pages would be refused for what they are, not for being few.
        if header.SOPClassUID == CTImageStorage and "ORIGINAL" in header.get("ImageType", ()):
            series[str(header.SeriesInstanceUID)].append(path)
    longest = max(series.values(), key=len, default=[])
    for number, path in enumerate(longest):
        if number < _FEW:
            shutil.copyfile(path, few / f"{number:05d}.dcm")
        dataset = pydicom.dcmread(path)
        dataset.Modality, dataset.SOPClassUID = "MR", MRImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.save_as(other / f"{number:05d}.dcm")
