"""A complete synthetic :class:`StudyResult`: an ellipse for a body, headers written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gastromap.results import (
    Confidence,
    GradCamResult,
    KeySlice,
    ModelIdentity,
    NomogramOmitted,
    NomogramResult,
    PredictorContribution,
    RunRecord,
    SlicePrediction,
    StageResult,
    StudyResult,
)
from gastromap.volume import CtVolume, SeriesRecord, SliceSource

STUDY_UID = "1.2.826.0.1.3680043.8.498.10"
SERIES_UID = "1.2.826.0.1.3680043.8.498.20"
NOTICE = "Trained on SYNTHETIC data: the figures say nothing about patients."
PROBABILITIES = {"T1": 0.03, "T2": 0.21, "T3": 0.63, "T4": 0.13}


def make_header(index: int, *, position: tuple[float, float, float], **changes: Any) -> Dataset:
    """Header of one CT slice; ``None`` removes an attribute."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    header.SOPInstanceUID = f"{SERIES_UID}.{index + 1}"
    header.StudyInstanceUID = STUDY_UID
    header.SeriesInstanceUID = SERIES_UID
    header.FrameOfReferenceUID = f"{STUDY_UID}.1"
    header.Modality = "CT"
    header.PatientName = "Muster^Maria"
    header.PatientID = "P-0001"
    header.IssuerOfPatientID = "TEST"
    header.PatientBirthDate = "19600102"
    header.PatientSex = "F"
    header.PatientAge = "064Y"
    header.StudyDate = "20240305"
    header.StudyTime = "101500"
    header.StudyID = "7"
    header.StudyDescription = "CT abdomen"
    header.AccessionNumber = "A-77"
    header.ReferringPhysicianName = "Referrer^Rita"
    header.Manufacturer = "TestScanner"
    header.ManufacturerModelName = "Model 1"
    header.SliceThickness = "5.0"
    header.ImagePositionPatient = [str(value) for value in position]
    for keyword, value in changes.items():
        if value is None:
            if keyword in header:
                delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    return header


def make_body(slices: int, rows: int, columns: int, seed: int = 7) -> np.ndarray:
    """An elliptic body with a bright spot at the patient's left front (right half, upper half of a usual slice)."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = np.where((x / 0.85) ** 2 + (y / 0.6) ** 2 < 1, 45.0, -1000.0)
    body[((x - 0.25) / 0.3) ** 2 + ((y + 0.15) / 0.22) ** 2 < 1] = 5.0
    body[((x - 0.38) / 0.1) ** 2 + ((y + 0.2) / 0.1) ** 2 < 1] = 95.0
    body[((x + 0.4) / 0.32) ** 2 + ((y + 0.05) / 0.35) ** 2 < 1] = 110.0
    body[(x / 0.12) ** 2 + ((y - 0.4) / 0.12) ** 2 < 1] = 380.0
    volume = np.repeat(body[None].astype(np.float32), slices, axis=0)
    return volume + np.random.default_rng(seed).normal(0, 8, volume.shape).astype(np.float32)


def make_volume(
    *,
    slices: int = 12,
    shape: tuple[int, int] = (64, 64),
    spacing: tuple[float, float] = (0.8, 0.8),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    step: float = 5.0,
    role: str = "baseline",
    warnings: tuple[str, ...] = (),
    hu: np.ndarray | None = None,
    edit: Callable[[int, Dataset], None] | None = None,
    **header: Any,
) -> CtVolume:
    """A volume with one hand-built header a slice; further keywords change every header."""
    across, along = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    normal = np.cross(across, along)
    origin = np.array([-25.0, -20.0, -300.0])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * spacing[1], along * spacing[0]
    affine[:3, 2], affine[:3, 3] = normal * step, origin
    sources = []
    for index in range(slices):
        item = make_header(index, position=tuple(affine[:3, 3] + affine[:3, 2] * index), **header)
        if edit is not None:
            edit(index, item)
        sources.append(SliceSource(str(item.SOPInstanceUID), item, "0" * 64))
    series = SeriesRecord(
        series_instance_uid=SERIES_UID,
        study_instance_uid=STUDY_UID,
        series_number=4,
        label="series 4 #9f31c2aa",
        number_of_slices=slices,
        step_mm=step,
        thickness_mm=5.0,
        kernel="B30f",
        phase="portal-venous",
        votes={"text": "portal", "timing": "portal", "order": "no evidence"},
    )
    return CtVolume(
        hu=make_body(slices, *shape) if hu is None else hu,
        affine_lps=affine,
        sources=tuple(sources),
        series=series,
        role=role,
        warnings=warnings,
        digest="ab" * 32,
    )


def make_nomogram() -> NomogramResult:
    return NomogramResult(
        variant="published",
        source="Coefficients of Table 3, npj Digital Medicine 2025, doi 10.1038/s41746-025-02002-5.",
        probabilities={"T1": 0.05, "T2": 0.20, "T3": 0.55, "T4": 0.20},
        stage="T3",
        contributions=(
            PredictorContribution("Rad-score", "+0.84 SD", 0.73, 55.0),
            PredictorContribution("Tumour size", "5 cm or more", 0.69, 20.0),
            PredictorContribution("Differentiation", "poor", 1.15, 33.0),
            PredictorContribution("Lauren type", "mixed", -0.08, 0.0),
        ),
        total_points=108.0,
    )


def make_study_result(
    *,
    volume: CtVolume | None = None,
    key: int = 5,
    stage: str = "T3",
    probabilities: dict[str, float] | None = None,
    staged: bool = True,
    reasons: tuple[str, ...] = (),
    prediction_set: tuple[str, ...] = ("T2", "T3"),
    votes: int = 3,
    nomogram: NomogramResult | NomogramOmitted | None = None,
    rad_score: float | None = 0.84,
    notice: str = NOTICE,
    model_name: str = "GastroMAP T stage",
    weights_sha256: str = "df" * 32,
    run_id: str = "20240306-101112-7f3a",
    warnings: tuple[str, ...] = (),
    config: dict[str, object] | None = None,
    **volume_options: Any,
) -> StudyResult:
    """A whole result whose parts fit together; every argument changes one thing that a test is about."""
    volume = make_volume(**volume_options) if volume is None else volume
    probabilities = PROBABILITIES if probabilities is None else probabilities
    rows, columns = volume.hu.shape[1:]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    heatmap = np.exp(-(((x - 0.36) / 0.2) ** 2 + ((y + 0.18) / 0.2) ** 2)).astype(np.float32)
    indices = [index for index in (key - 1, key, key + 1) if 0 <= index < len(volume.sources)]
    return StudyResult(
        volume=volume,
        key_slice=KeySlice(
            index=key,
            index_from_feet=volume.index_from_feet(key),
            sop_instance_uid=volume.sources[key].sop_instance_uid,
            position_mm=float((volume.affine_lps @ [0, 0, key, 1])[2]),
            origin="seg",
            tumour_area_mm2=412.0,
        ),
        stage=StageResult(
            stage=stage,
            probabilities=probabilities,
            slices=tuple(
                SlicePrediction(index, volume.sources[index].sop_instance_uid, probabilities) for index in indices
            ),
            confidence=Confidence(
                staged=staged,
                prediction_set=prediction_set,
                coverage=0.9,
                votes_for_stage=votes,
                slices=len(indices),
                reasons=reasons,
                calibration="synthetic-validation-1",
            ),
            rad_score=rad_score,
            model=ModelIdentity(
                name=model_name,
                version="0.1.0",
                network="GTRNet-18",
                weights_sha256=weights_sha256,
                preprocessing="paper",
                trained_on="synthetic",
                notice=notice,
            ),
            device="cpu",
        ),
        grad_cam=GradCamResult(stage=stage, heatmap=heatmap, index=key, method="HiResCAM", layer="layer2"),
        nomogram=make_nomogram() if nomogram is None else nomogram,
        run=RunRecord(
            run_id=run_id,
            started="2024-03-06T10:11:12+08:00",
            version="0.1.0",
            packages={"monai": "1.6.1", "torch": "2.9.0", "pydicom": pydicom.__version__},
            seconds={"gate": 1.2, "stage": 0.8},
            config={"phase": {"min_sources": 2}} if config is None else config,
        ),
        warnings=warnings,
    )
