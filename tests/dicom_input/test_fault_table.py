"""Each row of the fault table ends as the contract says: handled exactly, or refused with its code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicom_input.fault_rows import HANDLED, REFUSED
from dicom_input.series_builder import Series, make_series
from gastromap.errors import Refusal
from gastromap.reports.phrases import warning_sentence
from gastromap.volume import CtVolume

_FORM = re.compile(r"[A-Z_]+ [^:]+: expected .+, got .+\. [A-Z].+\.")


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, read: Callable[..., CtVolume]) -> CtVolume:
    folder = tmp_path_factory.mktemp("sound")
    make_series().write(folder)
    return read(folder)


class TestHandledRows:
    @pytest.mark.parametrize("row", HANDLED)
    def test_the_volume_equals_the_sound_one(
        self, row: str, tmp_path: Path, read: Callable[..., CtVolume], sound: CtVolume
    ) -> None:
        build, warnings = HANDLED[row]
        build(tmp_path)
        volume = read(tmp_path)
        expected = np.where(sound.hu == -1000, -1024, sound.hu) if row.startswith("d13") else sound.hu
        assert np.array_equal(volume.hu, expected)
        assert volume.affine_lps == pytest.approx(sound.affine_lps, abs=1e-3)
        assert set(warnings) == set(volume.warnings)
        assert all(warning_sentence(code) != code for code in volume.warnings)


def _turned(flip_rows: bool, flip_columns: bool) -> Series:
    """The sound series as stored by a scanner whose patient lies the other way round: the same voxels in space."""
    series = make_series()
    for item in series.slices:
        rows, columns = np.array(item.ImageOrientationPatient[3:]), np.array(item.ImageOrientationPatient[:3])
        pixels = np.frombuffer(item.PixelData, "<u2").reshape(64, 64)
        position = np.array(item.ImagePositionPatient, float)
        if flip_rows:
            pixels, position, rows = pixels[::-1], position + 63 * 0.78125 * rows, -rows
        if flip_columns:
            pixels, position, columns = pixels[:, ::-1], position + 63 * 0.78125 * columns, -columns
        item.PixelData = np.ascontiguousarray(pixels).tobytes()
        item.ImagePositionPatient = [round(float(value), 6) for value in position]
        item.ImageOrientationPatient = [*columns.tolist(), *rows.tolist()]
    return series


class TestPatientPosition:
    @pytest.mark.parametrize(
        ("position", "flip_rows", "flip_columns"), [("HFP", True, True), ("FFS", False, True), ("FFP", True, False)]
    )
    def test_b17_prone_and_feet_first_hold_the_same_values_at_the_same_places(
        self,
        position: str,
        flip_rows: bool,
        flip_columns: bool,
        tmp_path: Path,
        read: Callable[..., CtVolume],
        sound: CtVolume,
    ) -> None:
        _turned(flip_rows, flip_columns).set(PatientPosition=position).write(tmp_path)
        volume = read(tmp_path)
        assert float(np.linalg.det(volume.affine_lps)) > 0
        slices, rows, columns = np.meshgrid(*map(np.arange, sound.hu.shape), indexing="ij")
        index = np.stack([columns.ravel(), rows.ravel(), slices.ravel(), np.ones(columns.size)])
        there = np.linalg.inv(volume.affine_lps) @ sound.affine_lps @ index
        i, j, k = np.rint(there[:3]).astype(int)
        assert np.abs(there[:3] - (i, j, k)).max() < 1e-6
        assert np.array_equal(volume.hu[k, j, i], sound.hu.ravel())

    def test_b04_rows_and_columns_keep_their_own_spacing(self, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        make_series(PixelSpacing=[0.5, 1.0]).write(tmp_path)
        assert np.diag(read(tmp_path).affine_lps).tolist() == [1.0, 0.5, 5.0, 1.0]


class TestRefusedRows:
    @pytest.mark.parametrize("row", REFUSED)
    def test_the_refusal_has_its_code_and_form(self, row: str, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        build, code = REFUSED[row]
        build(tmp_path)
        with pytest.raises(Refusal) as refusal:
            read(tmp_path)
        assert refusal.value.code == code, str(refusal.value)
        assert _FORM.fullmatch(str(refusal.value))
