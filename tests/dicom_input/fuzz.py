"""Feed damaged series to the gate, in a process with two gigabytes of memory, and write down what goes wrong.

``python -m dicom_input.fuzz --seed 1 --cases 2000`` prints one JSON line a defect and a last one with counts. A defect
is: an exception that is no refusal, more than ten seconds, more memory than allowed, or a volume that differs from the
original without a warning that the original has not.

What no reader can know is not counted: bytes changed inside uncompressed pixel values are other, valid pixels. There
the test is that the volume holds exactly the values that numpy reads from the changed file (``check_pixels``).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom

from benchmarks.usage import memory_bytes
from dicom_input.fault_rows import _recode_with_gdcm, arterial
from dicom_input.mutations import MUTATIONS, Files, header_length
from dicom_input.series_builder import Series, make_series
from gastromap.dicom_input import GateSettings, build_volume, load_folder, select_series
from gastromap.errors import Refusal
from gastromap.volume import CtVolume

_SECONDS, _BYTES = 10, 2 * 1024**3
#: Positions may jitter by this much without a word (row b02 of the fault table).
_JITTER_MM = 0.1
_SETTINGS = GateSettings(parse_bytes=_BYTES, parse_seconds=_SECONDS)


class _TooSlowError(Exception):
    pass


def read(folder: Path) -> CtVolume:
    content = load_folder(folder, settings=_SETTINGS)
    return build_volume(select_series(content, settings=_SETTINGS), settings=_SETTINGS)


def _series(seed: int) -> Series:
    return make_series(16, size=(64, 72), PixelSpacing=[0.5, 0.75], seed=seed).each(
        lambda index, item: setattr(item, "SliceLocation", -400 + 5 * index)
    )


def originals(folder: Path) -> dict[str, Files]:
    """The sound series in several forms, as bytes of their files."""
    forms: dict[str, Files] = {}
    for name, syntax in {"explicit": "1.2.840.10008.1.2.1", "implicit": "1.2.840.10008.1.2"}.items():
        series = _series(1)
        series.syntax = syntax
        forms[name] = [path.read_bytes() for path in series.write(folder / name)]
    for name, syntax in {"rle": "1.2.840.10008.1.2.5", "jpeg-ls": "1.2.840.10008.1.2.4.80"}.items():
        paths = _series(1).write(folder / name)
        for path in paths:
            _recode_with_gdcm(path, syntax)
        forms[name] = [path.read_bytes() for path in paths]
    both = _series(1).write(folder / "both", "p") + arterial(slices=16, size=(64, 72)).write(folder / "both", "a")
    forms["two series"] = [path.read_bytes() for path in both]
    return forms


def write(files: Files, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for index, content in enumerate(files):
        (folder / f"{index:03d}.dcm").write_bytes(content)


def _corners(volume: CtVolume) -> np.ndarray:
    k, j, i = (size - 1 for size in volume.hu.shape)
    ends = np.array([(a, b, c, 1) for a in (0, i) for b in (0, j) for c in (0, k)], float)
    return (volume.affine_lps @ ends.T)[:3]


def _differs(volume: CtVolume, original: CtVolume) -> str:
    """Say in what a volume differs from the original; empty if it is the same."""
    if volume.hu.shape != original.hu.shape:
        return f"shape {volume.hu.shape}"
    if not np.array_equal(volume.hu, original.hu):
        return f"{int((volume.hu != original.hu).sum())} voxels"
    if np.abs(_corners(volume) - _corners(original)).max() > _JITTER_MM:
        return "affine"
    uids, expected = ([source.sop_instance_uid for source in v.sources] for v in (volume, original))
    return "" if uids == expected else "sources"


def _alarm(*_: object) -> None:
    raise _TooSlowError


def judge(files: Files, folder: Path, original: CtVolume) -> tuple[str, str]:
    """Read a series and return (outcome, defect); the defect is empty if the gate kept its promise."""
    write(files, folder)
    signal.alarm(_SECONDS)
    try:
        volume = read(folder)
    except Refusal as refusal:
        return refusal.code, ""
    except _TooSlowError:
        return "slow", f"more than {_SECONDS} s"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return "crash", repr(error)[:300]
    finally:
        signal.alarm(0)
    difference = _differs(volume, original)
    if not difference:
        return "same", ""
    if set(volume.warnings) - set(original.warnings):
        return "warned", ""
    return "silent", difference


def check_pixels(rng: np.random.Generator, files: Files, folder: Path) -> tuple[str, str]:
    """Change bytes of uncompressed pixels: each voxel must be what numpy reads from its file."""
    index = int(rng.integers(len(files)))
    content, start = bytearray(files[index]), header_length(files[index])
    for _ in range(int(rng.integers(1, 20))):
        content[int(rng.integers(start, len(content)))] = int(rng.integers(256))
    files = [bytes(content) if number == index else old for number, old in enumerate(files)]
    write(files, folder)
    expected = {}
    for number, data in enumerate(files):
        values = np.frombuffer(data, "<u2", offset=header_length(files[number])).reshape(64, 72).astype(np.float32)
        item = pydicom.dcmread(folder / f"{number:03d}.dcm", stop_before_pixels=True)
        expected[str(item.SOPInstanceUID)] = values - 1024
    try:
        volume = read(folder)
    except Refusal as refusal:
        return refusal.code, ""
    for level, source in zip(volume.hu, volume.sources, strict=True):
        if not np.array_equal(level, expected[source.sop_instance_uid]):
            return "wrong", "voxels that are not those of the file"
    return "pixels", ""


def run(seed: int, cases: int) -> tuple[list[dict[str, object]], Counter[str]]:
    """Read mutated series; return the defects and how often each outcome came."""
    signal.signal(signal.SIGALRM, _alarm)
    defects: list[dict[str, object]] = []
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "case"
        forms = originals(Path(scratch))
        sound = {}
        for name, files in forms.items():
            write(files, folder)
            sound[name] = read(folder)
        for case in range(cases):
            rng = np.random.default_rng((seed, case))
            form = str(rng.choice(list(forms)))
            name = str(rng.choice([*MUTATIONS, "pixels"]))
            start = time.monotonic()
            if name == "pixels":
                form = str(rng.choice(["explicit", "implicit"]))
                outcome, defect = check_pixels(rng, forms[form], folder)
            else:
                outcome, defect = judge(MUTATIONS[name](rng, list(forms[form])), folder, sound[form])
            outcomes[outcome] += 1
            if defect:
                seconds = round(time.monotonic() - start, 2)
                defects.append({"case": case, "form": form, "mutation": name, "defect": defect, "seconds": seconds})
    return defects, outcomes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=2000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    defects, outcomes = run(given.seed, given.cases)
    for defect in defects:
        sys.stdout.write(json.dumps(defect) + "\n")
    # ru_maxrss would begin with the memory of the process that started this one.
    sys.stdout.write(json.dumps({"outcomes": dict(outcomes.most_common()), "peak_bytes": memory_bytes()[1]}) + "\n")


if __name__ == "__main__":
    main()
