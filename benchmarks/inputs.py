"""What is measured: the input studies and the bundles."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pydicom
import torch

from gastromap.bundle import TSTAGE_BUNDLE
from gastromap.dicom_input import GateSettings, load_folder
from gastromap.model_card import WEIGHTS_NAME, ModelCard, sha256_of
from gastromap.preprocessing import PreprocessingProfile
from gastromap.rad_score import RadScore
from gastromap.synthetic.cohort import CohortPlan, write_cohort

__all__ = [
    "REPOSITORY",
    "StudyInput",
    "compressed_copy",
    "has_weights",
    "portal_series",
    "random_bundle",
    "real_study",
    "synthetic_study",
]

REPOSITORY = Path(__file__).resolve().parents[1]
_SEED = 7
_RAD_FEATURES = 30


@dataclass(frozen=True)
class StudyInput:
    """One study and what the caller says about it.

    Attributes
    ----------
    name : str
        Shown in the tables.
    folder : Path
        DICOM files, in any number of series.
    clinical : Path or None
    series_uid, key_slice : str or None
        Named with the call; ``None`` lets GastroMAP choose by votes and by the SEG of the study.
    """

    name: str
    folder: Path
    clinical: Path | None = None
    series_uid: str | None = None
    key_slice: str | None = None


def synthetic_study(folder: Path, *, matrix: int) -> StudyInput:
    """Make the study of ``gastromap synth --patients 1 --seed 7 --centre 1 --thickness 5 --with-seg``.

    Parameters
    ----------
    folder : Path
        Empty.
    matrix : int
        Rows and columns of an image.
    """
    plan = CohortPlan(seed=_SEED, format="dicom", centres=(1,), matrix=matrix, thickness_mm=5.0, with_seg=True)
    write_cohort(plan, folder, patients=1)
    files = sum(1 for path in (folder / "studies").rglob("*") if path.is_file())
    return StudyInput(
        name=f"synthetic study, {files} files, {matrix} x {matrix}",
        folder=next((folder / "studies").iterdir()),
        clinical=next((folder / "clinical").iterdir()),
    )


def real_study() -> StudyInput | None:
    """Return the public series TCGA-AY-4070 (87 slices), or ``None`` where the data are absent."""
    data = Path(os.environ.get("GASTROMAP_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = data / "ct" / "tcga_coad_ay4070" / "dicom"
    if not folder.is_dir():
        return None
    (series,) = load_folder(folder, settings=GateSettings()).series
    files = sum(1 for _ in folder.iterdir())
    # It names no phase and holds no SEG: series and slice come with the call.
    return StudyInput(
        name=f"TCGA-AY-4070, {files} files, 512 x 512",
        folder=folder,
        series_uid=series.uid,
        key_slice=str(files // 2),
    )


def portal_series(study: StudyInput, folder: Path) -> StudyInput:
    """Copy the portal-venous series of a synthetic study, for readers that expect one series in a folder.

    Parameters
    ----------
    study : StudyInput
        From :func:`synthetic_study`.
    folder : Path
        Made for the copy.
    """
    (record,) = (study.folder.parents[1] / "records").glob("*.json")
    uid = json.loads(record.read_text(encoding="utf-8"))["study"]["portal_series_uid"]
    for series in study.folder.iterdir():
        first = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
        if first.SeriesInstanceUID == uid:
            shutil.copytree(series, folder)
            files = sum(1 for _ in folder.iterdir())
            return StudyInput(
                name=f"synthetic portal-venous series, {files} files, {first.Rows} x {first.Columns}", folder=folder
            )
    msg = "expected a portal-venous series in the synthetic study, got none"
    raise RuntimeError(msg)


def compressed_copy(series: StudyInput, folder: Path) -> StudyInput:
    """Copy a series as JPEG Lossless (1.2.840.10008.1.2.4.70), the compression most archives use.

    Parameters
    ----------
    series : StudyInput
        Its folder holds images only.
    folder : Path
        Made for the copy.
    """
    import gdcm

    folder.mkdir(parents=True)
    for path in series.folder.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        done = reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        done = done and change.Change()
        writer.SetFileName(str(folder / path.name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not (done and writer.Write()):
            msg = "expected an image that GDCM can compress, got another"
            raise RuntimeError(msg)
    return StudyInput(name=f"{series.name}, JPEG Lossless", folder=folder)


def has_weights(models: Path) -> bool:
    """Whether ``models`` holds a T-stage bundle with weights."""
    return any((folder / "models" / WEIGHTS_NAME).is_file() for folder in (models / TSTAGE_BUNDLE, models))


def random_bundle(folder: Path, *, depth: int) -> Path:
    """Write a bundle with random weights: the speed of a network does not depend on what it learnt.

    Parameters
    ----------
    folder : Path
        Gets the bundle.
    depth : int
        Of GTRNet.

    Returns
    -------
    Path
        Folder to be named with ``-m``.
    """
    bundle = folder / TSTAGE_BUNDLE
    models = bundle / "models"
    shutil.copytree(
        REPOSITORY / "bundles" / TSTAGE_BUNDLE,
        bundle,
        ignore=lambda path, _: ("models",) if path.endswith(TSTAGE_BUNDLE) else (),
    )
    models.mkdir()
    card = ModelCard(
        network={"depth": depth},
        preprocessing=PreprocessingProfile.named("paper").to_mapping(),
        trained_on="nothing",
        notice="Random weights, for measuring speed only.",
    )
    torch.manual_seed(_SEED)
    network = card.build()
    torch.save(network.state_dict(), models / WEIGHTS_NAME)
    card.published(weights_sha256=sha256_of(models / WEIGHTS_NAME), training={}).write(models)
    # With a Rad-score the nomogram is computed and drawn, as in a real run.
    RadScore(
        dimension=network.fc.in_features,
        feature_indices=tuple(range(_RAD_FEATURES)),
        coefficients=(0.1,) * _RAD_FEATURES,
        feature_mean=(0.0,) * _RAD_FEATURES,
        feature_sd=(1.0,) * _RAD_FEATURES,
        intercept=0.0,
        score_mean=0.0,
        score_sd=1.0,
        trained_on="nothing",
    ).save(models / "rad_score.json")
    return folder
