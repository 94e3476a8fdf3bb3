"""The same work the plain way: stock SDK operators, whole-volume preprocessing, torchvision, pytorch-grad-cam.

It follows the article step by step (resample to 1 mm, window level 50 width 350, N4, z-score, three slices at
224 x 224, ResNet-152, Grad-CAM) with the usual call of each library. It checks no geometry, computes no nomogram
and writes no result; GastroMAP's seconds include all three.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from monai.deploy.core import Fragment
from monai.deploy.core.domain.image import Image
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision import models

from gastromap.run_record import Stopwatch

__all__ = ["N4_ITERATIONS", "N4_SHRINK", "PlainChain"]

#: The bias field is fitted on every fourth voxel and applied at full resolution: the usual shortcut for whole
#: volumes; without it N4 takes about sixty times as long.
N4_SHRINK = 4
#: Most iterations at each of four resolutions: SimpleITK's own default.
N4_ITERATIONS = (50, 50, 50, 50)
_LOW_HU, _HIGH_HU = -125.0, 225.0
_BODY_HU = -250.0
_SIZE = 224


class PlainChain:
    """Stage studies with stock parts.

    Parameters
    ----------
    depth : {18, 50, 152}
        Of torchvision's ResNet; random weights.
    n4_iterations : tuple of int
    """

    def __init__(self, *, depth: int, n4_iterations: tuple[int, ...] = N4_ITERATIONS) -> None:
        self._n4_iterations = n4_iterations
        fragment = Fragment()
        self._loader = DICOMDataLoaderOperator(fragment, name="loader")
        self._to_volume = DICOMSeriesToVolumeOperator(fragment, name="to_volume", affine_lps_to_ras=False)
        self._selector = DICOMSeriesSelectorOperator(fragment, name="selector")
        torch.manual_seed(0)
        self._network: nn.Module = models.get_model(f"resnet{depth}", weights=None, num_classes=4).eval()

    def run(self, folder: Path, *, series_uid: str, key_position_mm: float) -> dict[str, float]:
        """Stage one study.

        Parameters
        ----------
        folder : Path
            DICOM files.
        series_uid : str
            Series to take, the one GastroMAP takes.
        key_position_mm : float
            z of the key slice.

        Returns
        -------
        dict
            Seconds by stage, with ``total`` and ``CPU``.
        """
        watch = Stopwatch()
        rules = {"selections": [{"name": "CT", "conditions": {"SeriesInstanceUID": series_uid}}]}
        processor = time.process_time()
        with watch.stage("total"):
            with watch.stage("load"):
                studies = self._loader.load_data_to_studies(folder)
            with watch.stage("select"):
                selected = self._selector.filter(rules, studies)
            with watch.stage("volume"):
                image = _as_sitk(self._to_volume.convert_to_image(selected))
            with watch.stage("resample 1 mm"):
                image = _resample(image)
            with watch.stage("N4"):
                image = _n4(image, self._n4_iterations)
            with watch.stage("preprocess"):
                batch, key = _slices(image, key_position_mm)
            with watch.stage("infer"), torch.inference_mode():
                probabilities = self._network(batch).softmax(dim=1)
                stage = int(probabilities.mean(dim=0).argmax())
            with watch.stage("explain"), GradCAM(model=self._network, target_layers=[self._network.layer4[-1]]) as cam:
                cam(input_tensor=batch[key : key + 1], targets=[ClassifierOutputTarget(stage)])
        watch.seconds["CPU"] = time.process_time() - processor
        return watch.seconds


def _as_sitk(volume: Image) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(volume.asnumpy().astype(np.float32))
    affine = np.asarray(volume.metadata()["affine"])[:3]
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:, 3].tolist())
    image.SetDirection((affine[:, :3] / spacing).ravel().tolist())
    return image


def _resample(image: SimpleITK.Image) -> SimpleITK.Image:
    size = [round(n * step) for n, step in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    identity = SimpleITK.Transform(3, SimpleITK.sitkIdentity)
    return SimpleITK.Resample(
        image, size, identity, SimpleITK.sitkLinear, image.GetOrigin(), (1.0,) * 3, image.GetDirection(), -1024.0
    )


def _n4(image: SimpleITK.Image, iterations: tuple[int, ...]) -> SimpleITK.Image:
    body = image > _BODY_HU
    windowed = SimpleITK.IntensityWindowing(image, _LOW_HU, _HIGH_HU, 0.0, 1.0)
    small = SimpleITK.Shrink(windowed, [N4_SHRINK] * 3)
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(iterations)
    n4.Execute(small, SimpleITK.Shrink(body, [N4_SHRINK] * 3))
    return SimpleITK.Cast(windowed / SimpleITK.Exp(n4.GetLogBiasFieldAsImage(windowed)), SimpleITK.sitkFloat32)


def _slices(image: SimpleITK.Image, key_position_mm: float) -> tuple[Tensor, int]:
    """Key slice and its neighbours as (3, 3, 224, 224), and the position of the key slice among them."""
    voxels: NDArray[np.float32] = SimpleITK.GetArrayViewFromImage(image)
    voxels = (voxels - voxels.mean()) / voxels.std()
    step = image.GetDirection()[8]
    key = min(max(round((key_position_mm - image.GetOrigin()[2]) / step), 1), len(voxels) - 2)
    batch = torch.from_numpy(voxels[key - 1 : key + 2])[:, None]
    batch = nn.functional.interpolate(batch, size=(_SIZE, _SIZE), mode="bilinear")
    return batch.expand(-1, 3, -1, -1), 1
