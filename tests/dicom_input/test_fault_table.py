"""Each row of the fault table ends as the contract says: handled exactly, or refused with its code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dicom_input.fault_rows import HANDLED, REFUSED
from dicom_input.series_builder import make_series
from gastromap.errors import Refusal
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


class TestRefusedRows:
    @pytest.mark.parametrize("row", REFUSED)
    def test_the_refusal_has_its_code_and_form(self, row: str, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        build, code = REFUSED[row]
        build(tmp_path)
        with pytest.raises(Refusal) as refusal:
            read(tmp_path)
        assert refusal.value.code == code, str(refusal.value)
        assert _FORM.fullmatch(str(refusal.value))
