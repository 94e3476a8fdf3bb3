"""Pairs from DICOM studies: through the input gate, with tumour SEGs, as files or in the study."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from cohort.conftest import findings_of, records_of
from cohort.pair_builder import ball, save
from gastromap.cli import main
from gastromap.cohort.pair_study import PairJob, read_pair
from gastromap.dicom_input import GateSettings
from gastromap.errors import Refusal
from gastromap.synthetic.longitudinal import LongitudinalPlan, write_longitudinal

SEG = "S900/I0001.dcm"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient with both studies, a tumour SEG in each."""
    folder = tmp_path_factory.mktemp("longitudinal")
    plan = LongitudinalPlan(seed=5, format="dicom", with_seg=True, matrix=64, thickness_mm=5.0, centres=(1,))
    write_longitudinal(plan, folder, patients=1)
    return folder


@pytest.fixture(scope="module")
def patient(cohort: Path) -> Path:
    return next((cohort / "studies").iterdir())


def job(target: Path, **paths: Path) -> PairJob:
    settings = GateSettings(parse_in_child=False, decode_threads=1)
    named = {key: str(path) for key, path in paths.items()}
    return PairJob("P-1", named, str(target), settings, label_key=b"0" * 32)


def in_patient(path: Path) -> tuple[Any, Any]:
    """Voxels and affine of a NIfTI file in LPS mm."""
    image: Any = nibabel.load(path)
    return np.asarray(image.dataobj), np.diag([-1, -1, 1, 1]) @ image.affine


def test_the_table_of_the_synthetic_cohort_is_prepared_as_it_is(cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "DATA"
    command = ["prepare", "--pairs", "--table", str(cohort / "clinical.csv"), "--out", str(out), "--quiet"]
    assert main([*command, "--workers", "1", "--clinical", "age_years=age_years"]) == 0
    (entry,) = records_of(out).values()
    assert {"image1", "mask1", "image2", "mask2", "date1", "date2", "lnm", "death", "os_months"} <= set(entry)
    assert not [one for one in findings_of(out) if one["effect"] == "left out"]


def test_without_columns_the_folder_of_a_patient_holds_both_studies(
    patient: Path, cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(f"ID,ypN\n{patient.name},N1\nghost,N0\n")
    out = tmp_path / "DATA"
    command = ["prepare", "--pairs", "--table", str(tmp_path / "table.csv"), "--images", str(cohort / "studies")]
    assert main([*command, "--lnm", "ypN", "--out", str(out), "--quiet", "--workers", "1"]) == 0
    (entry,) = records_of(out).values()
    result = read_pair(job(tmp_path, image1=patient / "baseline", image2=patient / "followup"))
    for key in ("image1", "image2", "mask1", "mask2"):
        mine, other = in_patient(out / entry[key]), in_patient(tmp_path / result["files"][key])
        assert np.array_equal(mine[0], other[0])
    days = [np.datetime64(entry[key]) for key in ("date1", "date2")]
    dates = [_day(patient / name) for name in ("baseline", "followup")]
    assert days[1] - days[0] == dates[1] - dates[0]
    assert [one["code"] for one in findings_of(out) if one["effect"] == "left out"] == ["FILE_MISSING"]


def _day(study: Path) -> Any:
    text = str(pydicom.dcmread(study / SEG).StudyDate)
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}")


class TestSegmentations:
    def test_the_mask_lies_where_another_reader_sees_it(self, patient: Path, tmp_path: Path) -> None:
        read_pair(job(tmp_path, image1=patient / "baseline", mask1=patient / "baseline" / SEG))
        mask, affine = in_patient(tmp_path / "1_mask.nii.gz")
        volume = highdicom.seg.segread(patient / "baseline" / SEG).get_volume(combine_segments=True)
        theirs = np.argwhere(volume.array > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        mine = np.argwhere(mask > 0) @ affine[:3, :3].T + affine[:3, 3]
        assert len(mine) == len(theirs) > 0
        np.testing.assert_allclose(np.sort(mine, axis=0), np.sort(theirs, axis=0), atol=1e-3)

    def test_voxels_are_those_another_reader_decodes(self, patient: Path, tmp_path: Path) -> None:
        result = read_pair(job(tmp_path, image1=patient / "baseline"))
        hu, affine = in_patient(tmp_path / "1.nii.gz")
        found = {}
        for path in patient.glob("baseline/*/*"):
            header = pydicom.dcmread(path)
            if header.get("SeriesInstanceUID") == result["series_uids"]["1"]:
                pixels = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
                found[round(float(header.ImagePositionPatient[2]), 2)] = np.maximum(pixels, -1024)
        assert len(found) == hu.shape[2]
        for index in range(hu.shape[2]):
            z = round(float(affine[2, 3] + index * affine[2, 2]), 2)
            assert np.array_equal(hu[:, :, index].T, found[z])

    def test_a_segmentation_in_the_study_needs_no_column(self, patient: Path, tmp_path: Path) -> None:
        result = read_pair(job(tmp_path, image1=patient / "baseline", image2=patient / "followup"))
        assert set(result["files"]) == {"image1", "mask1", "image2", "mask2"}

    def test_one_of_the_other_study_is_refused(self, patient: Path, tmp_path: Path) -> None:
        with pytest.raises(Refusal, match="MASK_REFERENCE mask1"):
            read_pair(job(tmp_path, image1=patient / "baseline", mask1=patient / "followup" / SEG))

    def test_one_on_another_grid_is_refused(self, patient: Path, tmp_path: Path) -> None:
        header = pydicom.dcmread(patient / "baseline" / SEG)
        shared = header.SharedFunctionalGroupsSequence[0]
        shared.PixelMeasuresSequence[0].PixelSpacing = [1.0, 1.0]
        header.save_as(tmp_path / "seg.dcm")
        with pytest.raises(Refusal, match=r"PIXEL_DATA mask1.*another grid"):
            read_pair(job(tmp_path, image1=patient / "baseline", mask1=tmp_path / "seg.dcm"))

    def test_a_nifti_mask_of_a_dicom_study_is_refused(self, patient: Path, tmp_path: Path) -> None:
        mask = save(tmp_path / "seg.nii.gz", ball())
        with pytest.raises(Refusal, match="MASK_FORMAT mask1"):
            read_pair(job(tmp_path, image1=patient / "baseline", mask1=mask))


def test_a_folder_without_a_fit_series_is_refused_with_the_code_of_the_gate(patient: Path, tmp_path: Path) -> None:
    shutil.copytree(patient / "baseline" / "S900", tmp_path / "study")
    with pytest.raises(Refusal, match="NO_CT"):
        read_pair(job(tmp_path, image1=tmp_path / "study"))


def test_studies_in_the_wrong_order_are_left_out(patient: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("ID,image1,image2,lnm\na,followup,baseline,1\n")
    out = tmp_path / "DATA"
    command = ["prepare", "--pairs", "--table", str(tmp_path / "table.csv"), "--images", str(patient), "--quiet"]
    assert main([*command, "--out", str(out), "--workers", "1"]) == 3
    assert "DATES_REVERSED" in {one["code"] for one in findings_of(out)}
