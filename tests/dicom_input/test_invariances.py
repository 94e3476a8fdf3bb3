"""What must not change the result: file order and names, copies, foreign files, recoding, folders of the studies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_input.fault_rows import HANDLED
from dicom_input.series_builder import make_series, rename_randomly
from gastromap.errors import Refusal
from gastromap.volume import CtVolume


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory, read: Callable[..., CtVolume]) -> str:
    folder = tmp_path_factory.mktemp("digest")
    make_series().write(folder)
    return read(folder).digest


class TestDigest:
    def test_random_names_and_one_folder_a_slice_change_nothing(
        self, tmp_path: Path, read: Callable[..., CtVolume], digest: str
    ) -> None:
        for index, path in enumerate(make_series().write(tmp_path)):
            target = tmp_path / f"{(index * 7) % 20}"
            target.mkdir()
            rename_randomly([Path(shutil.move(path, target))], seed=index)
        assert read(tmp_path).digest == digest

    @pytest.mark.parametrize(
        "row", [row for row in HANDLED if row.startswith(("a05 ", "e0", "e11", "d03", "d04", "d08"))]
    )
    def test_copies_foreign_files_and_recoding_change_nothing(
        self, row: str, tmp_path: Path, read: Callable[..., CtVolume], digest: str
    ) -> None:
        HANDLED[row][0](tmp_path)
        assert read(tmp_path).digest == digest

    def test_another_charset_of_the_header_changes_nothing(
        self, tmp_path: Path, read: Callable[..., CtVolume], digest: str
    ) -> None:
        make_series(SpecificCharacterSet="ISO_IR 192").write(tmp_path)
        assert read(tmp_path).digest == digest

    def test_other_pixels_change_it(self, tmp_path: Path, read: Callable[..., CtVolume], digest: str) -> None:
        make_series(seed=1).write(tmp_path)
        assert read(tmp_path).digest != digest

    def test_the_order_of_two_studies_changes_nothing(
        self, tmp_path: Path, read: Callable[..., CtVolume], digest: str
    ) -> None:
        later = make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", seed=4)
        for first, second in (("a", "b"), ("b", "a")):
            folder = tmp_path / first
            make_series().write(folder / first)
            later.write(folder / second)
            assert read(folder).digest == digest


class TestMessages:
    def test_a_refusal_reads_the_same_under_other_file_names(
        self, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        texts = set()
        for seed in (1, 2, 3):
            folder = tmp_path / str(seed)
            paths = (
                make_series().each(lambda index, item: delattr(item, "PixelData") if index == 4 else None).write(folder)
            )
            rename_randomly(paths, seed=seed)
            with pytest.raises(Refusal) as refusal:
                read(folder)
            texts.add(str(refusal.value))
        assert len(texts) == 1


class TestAffine:
    def test_columns_move_by_the_second_pixel_spacing(self, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        make_series(PixelSpacing=[0.5, 1.0]).write(tmp_path)
        volume = read(tmp_path)
        assert volume.affine_lps[:3, 0].tolist() == [1.0, 0.0, 0.0]
        assert volume.affine_lps[:3, 1].tolist() == [0.0, 0.5, 0.0]
        assert volume.pixel_spacing_mm == (0.5, 1.0)

    def test_feet_first_prone_slices_rise_along_their_normal(
        self, tmp_path: Path, read: Callable[..., CtVolume]
    ) -> None:
        make_series(ImageOrientationPatient=[1, 0, 0, 0, -1, 0], PatientPosition="FFP").write(tmp_path)
        volume = read(tmp_path)
        assert volume.affine_lps[2, 2] == -5.0
        assert not volume.rises_to_head
        assert volume.index_from_feet(0) == 19

    def test_the_volume_cannot_be_written_to(self, tmp_path: Path, read: Callable[..., CtVolume]) -> None:
        make_series().write(tmp_path)
        volume = read(tmp_path)
        assert not volume.hu.flags.writeable
        assert not volume.affine_lps.flags.writeable
