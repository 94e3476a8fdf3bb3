"""A complete synthetic :class:`StudyResult`: an ellipse for a body, headers written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from gastromap.explain_3d import CoAttentionMaps
from gastromap.longitudinal import FollowupContribution, LongitudinalMaps, LongitudinalResult, Outcome
from gastromap.preprocessing.volume import PatientGrid
from gastromap.results import (
    Comparison,
    Confidence,
    Examination,
    GradCamResult,
    KeySlice,
    ModelIdentity,
    NomogramOmitted,
    NomogramResult,
    PredictorContribution,
    RunRecord,
    SizeChange,
    SliceHeatMap,
    SlicePrediction,
    StageResult,
    StudyResult,
    Tumour,
)
from gastromap.segmentation.measures import TumourMeasures
from gastromap.volume import CtVolume, SeriesRecord, SliceSource

STUDY_UID = "1.2.826.0.1.3680043.8.498.10"
SERIES_UID = "1.2.826.0.1.3680043.8.498.20"
FOLLOWUP_STUDY_UID = "1.2.826.0.1.3680043.8.498.11"
FOLLOWUP_SERIES_UID = "1.2.826.0.1.3680043.8.498.21"
NOTICE = "Trained on SYNTHETIC data: the figures say nothing about patients."
OUTLOOK_NOTICE = "The longitudinal model was trained on SYNTHETIC pairs."
PROBABILITIES = {"T1": 0.03, "T2": 0.21, "T3": 0.63, "T4": 0.13}
PROBABILITIES_AFTER = {"T1": 0.25, "T2": 0.5, "T3": 0.20, "T4": 0.05}
BREAKS = tuple(float(month) for month in range(0, 88, 8))


def make_header(
    index: int,
    *,
    position: tuple[float, float, float],
    study_uid: str = STUDY_UID,
    series_uid: str = SERIES_UID,
    **changes: Any,
) -> Dataset:
    """Header of one CT slice; ``None`` removes an attribute."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    header.SOPInstanceUID = f"{series_uid}.{index + 1}"
    header.StudyInstanceUID = study_uid
    header.SeriesInstanceUID = series_uid
    header.FrameOfReferenceUID = f"{study_uid}.1"
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
    study_uid: str = STUDY_UID,
    series_uid: str = SERIES_UID,
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
        position = tuple(affine[:3, 3] + affine[:3, 2] * index)
        item = make_header(index, position=position, study_uid=study_uid, series_uid=series_uid, **header)
        if edit is not None:
            edit(index, item)
        sources.append(SliceSource(str(item.SOPInstanceUID), item, "0" * 64))
    series = SeriesRecord(
        series_instance_uid=series_uid,
        study_instance_uid=study_uid,
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
        grad_cam=GradCamResult(
            stage=stage,
            heatmap=heatmap,
            index=key,
            method="HiResCAM",
            layer="layer2",
            neighbours=tuple(SliceHeatMap(i, 0.8 * heatmap) for i in indices if i != key),
        ),
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


def make_tumour(
    volume: CtVolume,
    *,
    key: int = 5,
    radius: float = 0.12,
    measures: TumourMeasures = TumourMeasures(38.2, 52.4, 14.6, 0.21),  # noqa: B008  frozen
    origin: str = "auto",
) -> Tumour:
    """A ball round the bright spot of :func:`make_body`, with sizes that a test can name."""
    slices, rows, columns = volume.hu.shape
    z, y, x = np.ogrid[0:slices, -1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    mask = ((x - 0.38) / radius) ** 2 + ((y + 0.2) / radius) ** 2 + ((z - key) / 2) ** 2 < 1
    place = [(columns - 1) * 0.69, (rows - 1) * 0.4, float(key), 1.0]
    x_mm, y_mm, z_mm = (float(value) for value in (volume.affine_lps @ place)[:3])
    auto = origin == "auto"
    return Tumour(
        origin=origin,
        mask=np.broadcast_to(mask, volume.hu.shape),
        centre_lps=(x_mm, y_mm, z_mm),
        measures=measures,
        probability=0.83 if auto else None,
        model=make_model("GastroMAP segmentation", "e1" * 32, "Masks of a test.") if auto else None,
    )


def make_model(name: str, weights_sha256: str, notice: str) -> ModelIdentity:
    return ModelIdentity(
        name=name,
        version="0.2.0",
        network="TestNet",
        weights_sha256=weights_sha256,
        preprocessing="volume",
        trained_on="synthetic",
        notice=notice,
    )


def make_outcome(
    inputs: str = "pair", *, lnm: float = 0.72, survival: tuple[float, ...] = (0.9, 0.75, 0.62, 0.5, 0.41)
) -> Outcome:
    months = (12, 24, 36, 48, 60)
    return Outcome(
        inputs=inputs,
        lnm_probability=lnm,
        survival=dict(zip(months, survival, strict=True)),
        rmst_months=48.4,
        os_risk=-48.4,
        risk_group="high",
    )


def make_maps(grids: tuple[PatientGrid, PatientGrid]) -> LongitudinalMaps:
    """Maps with one warm place each."""
    z, y, x = np.mgrid[-1:1:4j, -1:1:8j, -1:1:8j]
    warm = np.exp(-4 * (z**2 + y**2 + x**2)).astype(np.float32)
    shifted = np.roll(warm, 2, axis=2)
    coarse = np.stack([warm[:, ::2, ::2], shifted[:, ::2, ::2]])
    pooling = coarse / coarse.sum(axis=(1, 2, 3), keepdims=True)
    cells = pooling.shape[1:]
    onward = np.broadcast_to(pooling[1], (*cells, *cells))
    return LongitudinalMaps(
        lnm=np.stack([warm, 0.6 * warm]),
        os_risk=np.stack([0.4 * shifted, shifted]),
        co_attention=CoAttentionMaps(
            first_to_second=onward[None],
            second_to_first=onward[None],
            entropy=np.full((1, 2, *cells), 0.64, np.float32),
            pooling=pooling[None].astype(np.float32),
        ),
        grids=grids,
    )


def make_outlook(*, pair: Outcome | None = None, maps: LongitudinalMaps | None = None) -> LongitudinalResult:
    pair = make_outcome() if pair is None else pair
    alone = replace(
        make_outcome("baseline_only", lnm=0.6, survival=(0.93, 0.8, 0.7, 0.6, 0.52)), rmst_months=54.6, os_risk=-54.6
    )
    return LongitudinalResult(
        outcome=pair,
        baseline_only=alone,
        contribution=FollowupContribution.between(pair, alone),
        present=(True, True),
        masks=(True, True),
        breaks_months=BREAKS,
        model=make_model("GastroMAP longitudinal", "1a" * 32, OUTLOOK_NOTICE),
        maps=maps,
    )


def make_pair_result(
    *,
    tumour_after: bool = True,
    outlook: bool = True,
    maps: bool = True,
    grid_mm: float = 2.0,
    stage_after: dict[str, Any] | None = None,
    followup: dict[str, Any] | None = None,
    comparison: dict[str, Any] | None = None,
    **options: Any,
) -> StudyResult:
    """Both examinations of one patient, four months apart.

    ``followup`` changes the volume after treatment, ``stage_after`` its stage, ``comparison`` fields of the comparison,
    header attributes both studies, everything else the study before treatment.
    """
    result = make_study_result(**options)
    key = result.key_slice.index
    shape = result.volume.hu.shape
    second = make_study_result(
        **{
            "stage": "T2",
            "probabilities": PROBABILITIES_AFTER,
            "prediction_set": ("T1", "T2"),
            "key": key,
            **(stage_after or {}),
        },
        **{
            **{name: value for name, value in options.items() if name[0].isupper()},
            **{"slices": shape[0], "shape": shape[1:], "spacing": result.volume.pixel_spacing_mm, "role": "followup"},
            **{"study_uid": FOLLOWUP_STUDY_UID, "series_uid": FOLLOWUP_SERIES_UID, "StudyDate": "20240620"},
            **{"AccessionNumber": "A-91", "StudyID": "8", "PatientAge": "065Y"},
            **(followup or {}),
        },
    )
    before = make_tumour(result.volume, key=key)
    after = make_tumour(second.volume, key=key, radius=0.08, measures=TumourMeasures(14.0, 33.1, 9.2, 0.12))
    grids = tuple(
        PatientGrid.around(tumour.centre_lps, (2 * grid_mm, grid_mm, grid_mm), (16, 24, 24))
        for tumour in (before, after)
    )
    pairs = zip(("volume_ml", "long_axis_mm", "thickness_mm"), (38.2, 52.4, 14.6), (14.0, 33.1, 9.2), strict=True)
    added = Comparison(
        followup=Examination(
            volume=second.volume,
            key_slice=second.key_slice if tumour_after else None,
            tumour=after if tumour_after else None,
            no_tumour="" if tumour_after else "the segmentation model found none",
            crop_centre_lps=after.centre_lps,
            warnings=second.warnings,
        ),
        interval_days=107,
        stage=second.stage if tumour_after else None,
        grad_cam=second.grad_cam if tumour_after else None,
        changes=tuple(SizeChange(name, one, other if tumour_after else 0.0) for name, one, other in pairs),
        outlook=make_outlook(maps=make_maps(grids) if maps else None) if outlook else None,
        omitted="" if outlook else "No longitudinal model was given.",
        crop_by_stomach=not tumour_after,
    )
    return replace(result, tumour=before, comparison=replace(added, **(comparison or {})))
