"""Synthetic DICOM studies: headers, geometry, phases, segmentation, an independent validator."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from gastromap.synthetic.cases import sample_case
from gastromap.synthetic.dicom_study import StudyRecord, write_clinical_json, write_study
from gastromap.synthetic.export_scan import Scan, plan_scan


@dataclass(frozen=True)
class Written:
    """A study on disk, its headers by series number, and what it was made from."""

    scan: Scan
    record: StudyRecord
    folder: Path
    series: dict[int, list[pydicom.Dataset]]

    def portal(self) -> list[pydicom.Dataset]:
        return next(s for s in self.series.values() if s[0].SeriesInstanceUID == self.record.portal_series_uid)

    def objects(self) -> list[pydicom.Dataset]:
        return [item for items in self.series.values() for item in items]


def write(centre: int, folder: Path, *, workers: int = 1) -> Written:
    scan = plan_scan(sample_case(11, centre, centre=centre), matrix=64, thickness_mm=5.0)
    record = write_study(scan, folder, with_seg=True, workers=workers)
    series: dict[int, list[pydicom.Dataset]] = defaultdict(list)
    for path in sorted(folder.rglob("*.dcm")):
        item = pydicom.dcmread(path)
        series[int(item.SeriesNumber)].append(item)
    return Written(scan, record, folder, dict(series))


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda centre: f"centre{centre}")
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(request.param, tmp_path_factory.mktemp("study"))


def seconds_after_bolus(item: pydicom.Dataset) -> float:
    start, acquired = (
        datetime.strptime(str(value).split(".")[0], "%H%M%S")
        for value in (item.ContrastBolusStartTime, item.AcquisitionTime)
    )
    return (acquired - start).total_seconds()


def axial_soft(study: Written) -> list[list[pydicom.Dataset]]:
    """Axial contrast series with the soft kernel, in order of acquisition."""
    chosen = [
        items
        for items in study.series.values()
        if items[0].SOPClassUID == CTImageStorage
        and list(items[0].ImageType[:3]) == ["ORIGINAL", "PRIMARY", "AXIAL"]
        and items[0].ConvolutionKernel == study.scan.scanner.kernel
    ]
    return sorted(chosen, key=lambda items: items[0].AcquisitionTime)


class TestHeaders:
    def test_every_object_says_synthetic_in_name_and_study(self, study: Written) -> None:
        for item in study.objects():
            assert str(item.PatientName).startswith("SYNTHETIC")
            assert item.PatientID.startswith("SYNTHETIC")
            assert item.StudyDescription.startswith("SYNTHETIC")

    def test_one_study_and_unique_valid_uids(self, study: Written) -> None:
        uids = [item.SOPInstanceUID for item in study.objects()]
        assert {item.StudyInstanceUID for item in study.objects()} == {study.record.study_instance_uid}
        assert len(set(uids)) == len(uids) == study.record.files
        assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)

    def test_there_are_eight_series_with_consecutive_instances(self, study: Written) -> None:
        assert len(study.series) == 8
        for items in study.series.values():
            assert sorted(int(item.InstanceNumber) for item in items) == list(range(1, len(items) + 1))
            assert len({item.SeriesInstanceUID for item in items}) == 1

    def test_the_dose_page_is_an_rgb_secondary_capture_with_modality_ct(self, study: Written) -> None:
        (page,) = [item for item in study.objects() if item.SOPClassUID == SecondaryCaptureImageStorage]
        assert page.Modality == "CT"
        assert page.pixel_array.shape == (512, 512, 3)
        assert page.pixel_array.max() == 255

    def test_the_age_holds_on_the_study_date(self, study: Written) -> None:
        item = study.portal()[0]
        born, day = (datetime.strptime(value, "%Y%m%d") for value in (item.PatientBirthDate, item.StudyDate))
        years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
        assert years == study.scan.case.age_years == int(item.PatientAge[:3])


class TestPhases:
    def test_arterial_portal_and_delayed_follow_the_bolus(self, study: Written) -> None:
        delays = [seconds_after_bolus(items[0]) for items in axial_soft(study)]
        assert len(delays) == 3
        assert delays[0] < 50
        assert 55 <= delays[1] <= 90
        assert delays[2] > 110

    def test_the_portal_series_is_the_second_acquisition(self, study: Written) -> None:
        assert axial_soft(study)[1][0].SeriesInstanceUID == study.record.portal_series_uid

    def test_the_phases_share_table_positions_and_frame(self, study: Written) -> None:
        portal = {float(item.ImagePositionPatient[2]) for item in study.portal()}
        for items in axial_soft(study):
            assert {float(item.ImagePositionPatient[2]) for item in items} <= portal
            assert {item.FrameOfReferenceUID for item in items} == {study.portal()[0].FrameOfReferenceUID}

    def test_content_comes_after_acquisition(self, study: Written) -> None:
        for item in study.portal():
            assert float(item.ContentTime) > float(item.AcquisitionTime) > float(item.StudyTime)

    def test_descriptions_follow_the_habits_of_the_centre(self, study: Written) -> None:
        item = study.portal()[0]
        expected = {1: "Portal Venous", 2: "门静脉期", 3: ""}[study.scan.case.centre]
        assert expected in item.get("SeriesDescription", "")
        assert ("SeriesDescription" in item) == (study.scan.case.centre != 3)
        if study.scan.case.centre == 2:
            assert item.SpecificCharacterSet == "GB18030"
            assert "门静脉期".encode("gb18030") in (study.folder / "S301" / "I0001.dcm").read_bytes()

    def test_the_aorta_is_brightest_in_the_arterial_phase(self, study: Written) -> None:
        # Fresh contrast: the upper percentile of soft tissue falls from arterial to delayed.
        arterial, _, delayed = (SimpleITK.GetArrayFromImage(read_volume(study, s)) for s in axial_soft(study))
        soft = [volume[(volume > 90) & (volume < 450)] for volume in (arterial, delayed)]
        assert np.percentile(soft[0], 90) > np.percentile(soft[1], 90)


def read_volume(study: Written, items: list[pydicom.Dataset]) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    folder = study.folder / f"S{int(items[0].SeriesNumber):03d}"
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


class TestGeometry:
    def test_an_independent_reader_gets_the_phantom_back(self, study: Written) -> None:
        image, scan = read_volume(study, study.portal()), study.scan
        assert image.GetSpacing() == pytest.approx((scan.grid.spacing_mm, scan.grid.spacing_mm, 5.0), abs=1e-4)
        assert image.GetOrigin() == pytest.approx((scan.grid.x_mm[0], scan.grid.y_mm[0], scan.z_mm[0]), abs=1e-3)
        volume = SimpleITK.GetArrayFromImage(image)
        for index in (0, scan.key_index, len(scan.z_mm) - 1):
            assert np.array_equal(volume[index], scan.hu(index))

    def test_the_coronal_reformat_lies_in_the_same_frame(self, study: Written) -> None:
        coronal = next(
            s
            for s in study.series.values()
            if s[0].SOPClassUID == CTImageStorage and len(s) > 1 and s[0].ImageType[0] == "DERIVED"
        )
        item = coronal[len(coronal) // 2]
        assert [float(v) for v in item.ImageOrientationPatient] == [1, 0, 0, 0, 0, -1]
        row = round((float(item.ImagePositionPatient[1]) - study.scan.affine_lps()[1, 3]) / study.scan.grid.spacing_mm)
        hu = item.pixel_array * float(item.RescaleSlope) + float(item.RescaleIntercept)
        top = study.scan.hu(len(study.scan.z_mm) - 1)[row]
        assert np.array_equal(hu[0], top)


class TestSegmentation:
    def test_it_lies_on_the_tumour(self, study: Written) -> None:
        import highdicom

        seg = highdicom.seg.segread(study.folder / "S900" / "I0001.dcm")
        truth = study.scan.tumour_masks()
        portal = sorted(study.portal(), key=lambda item: float(item.ImagePositionPatient[2]))
        used = [index for index in range(len(portal)) if truth[index].any()]
        pixels = seg.get_pixels_by_source_instance([portal[i].SOPInstanceUID for i in used], combine_segments=True)
        assert np.array_equal(pixels.astype(bool), truth[used])
        assert study.record.key_sop_instance_uid == portal[study.scan.key_index].SOPInstanceUID

    def test_an_independent_reader_finds_it_at_the_same_place(self, study: Written) -> None:
        image = SimpleITK.ReadImage(str(study.folder / "S900" / "I0001.dcm"))
        mask = SimpleITK.GetArrayFromImage(image) > 0
        truth, scan = study.scan.tumour_masks(), study.scan
        # Per-frame positions are not read by every ITK; the frames are compared as a set of images.
        assert mask.sum() == truth.sum()
        assert image.GetSpacing()[:2] == pytest.approx((scan.grid.spacing_mm, scan.grid.spacing_mm), abs=1e-4)
        assert np.array_equal(mask.any(axis=0), truth.any(axis=0))


class TestRepeatability:
    def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(self, tmp_path: Path) -> None:
        one, two = write(2, tmp_path / "one"), write(2, tmp_path / "two", workers=2)
        assert one.record == two.record
        for path in sorted(one.folder.rglob("*.dcm")):
            assert path.read_bytes() == (two.folder / path.relative_to(one.folder)).read_bytes(), path.name


class TestValidator:
    def test_dciodvfy_finds_neither_errors_nor_warnings(self, study: Written) -> None:
        if shutil.which("dciodvfy") is None:
            pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
        for number, items in study.series.items():
            for item in (items[0], items[-1]):
                name = study.folder / f"S{number:03d}" / f"I{int(item.InstanceNumber):04d}.dcm"
                done = subprocess.run(["dciodvfy", str(name)], capture_output=True, text=True, check=False)
                complaints = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
                assert complaints == [], f"series {number}"


def test_the_clinical_file_holds_the_variables_of_the_nomogram(tmp_path: Path) -> None:
    case = sample_case(1, 1, centre=1)
    write_clinical_json(case, tmp_path / "clinical.json")
    assert json.loads((tmp_path / "clinical.json").read_text()) == {
        "tumour_size_cm": case.size_cm,
        "differentiation": case.differentiation,
        "lauren": case.lauren,
    }
