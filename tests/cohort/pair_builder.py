"""Small pairs of crops with masks, and a table of them as a hospital might keep it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

SHAPE = (16, 14, 12)
#: RAS, 1 mm, as most crops have it.
AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1, 0, 30], [0, 0, 1, -200], [0, 0, 0, 1]])

HEADERS = {
    "patient_id": "编号", "image1": "治疗前CT", "mask1": "治疗前分割", "image2": "治疗后CT", "mask2": "治疗后分割",
    "lnm": "淋巴结转移(病理)", "death": "生存状态", "os": "总生存时间（天）", "age": "年龄",
}  # fmt: skip


def voxels(seed: int, shape: Sequence[int] = SHAPE) -> NDArray[np.int16]:
    """Noise round 40 HU with air in one corner; axes x, y, z as NIfTI stores them."""
    values = np.random.default_rng(seed).normal(40, 60, shape)
    values[:3, :3, :3] = -900
    return values.astype(np.int16)


def ball(shape: Sequence[int] = SHAPE, radius: float = 4.0) -> NDArray[np.uint8]:
    grid = np.stack(np.meshgrid(*(np.arange(n) - n / 2.3 for n in shape), indexing="ij"))
    return (np.sqrt((grid**2).sum(axis=0)) < radius).astype(np.uint8)


def save(path: Path, array: NDArray[Any], affine: NDArray[Any] = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    image.header["descrip"] = b"Zhang San"
    nibabel.save(image, path)
    return path


def write_crops(folder: Path, number: int) -> dict[str, str]:
    """Both scans of a patient with masks; paths relative to the folder."""
    name = f"P{number:03d}"
    for date in (1, 2):
        save(folder / name / f"ct{date}.nii.gz", voxels(10 * number + date))
        save(folder / name / f"seg{date}.nii.gz", ball(radius=5.0 - date))
    return {
        key: f"{name}/{file}.nii.gz"
        for key, file in (("image1", "ct1"), ("mask1", "seg1"), ("image2", "ct2"), ("mask2", "seg2"))
    }


def chinese_row(number: int, files: dict[str, str]) -> dict[str, Any]:
    return {
        HEADERS["patient_id"]: f"GC{number:03d}",
        **{HEADERS[key]: f"D:\\数据\\crops\\{path}".replace("/", "\\") for key, path in files.items()},
        HEADERS["lnm"]: "阳性" if number % 2 else "阴性",
        HEADERS["death"]: "死亡" if number % 3 == 0 else "存活",
        HEADERS["os"]: 365.25 * number,
        HEADERS["age"]: 50 + number,
    }


def write_xlsx(path: Path, rows: Sequence[dict[str, Any]], *, title: Sequence[str] = ()) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    if title:
        sheet.append(list(title))
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    for _ in range(3):
        sheet.append([None, "  "])
    book.save(path)
    return path


CHINESE_OPTIONS = [
    *("--patient", "编号", "--image1", "治疗前ct", "--mask1", "治疗前分割"),
    *("--image2", "治疗后CT", "--mask2", "治疗后分割"),
    *("--lnm", "淋巴结转移（病理）", "--death", "生存状态", "--os-time", "总生存时间 (天)", "--os-unit", "days"),
    *("--clinical", "age=年龄"),
]  # fmt: skip
