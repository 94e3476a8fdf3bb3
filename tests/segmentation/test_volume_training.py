"""What the segmentation training reads: records of three layouts, volumes on the patient's axes, the loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SpatialResample

from gastromap.errors import UsageError
from gastromap.preprocessing.volume_transforms import FROM_BYTES, PrepareCtVolumed
from gastromap.training.segmentation_loss import DiceBceLoss, SplitAttendedd
from gastromap.training.volume_datalist import read_volume_datalist, records_of


@pytest.fixture
def volume(tmp_path: Path) -> dict[str, str]:
    """A ball of HU 100 with a tumour of HU 160 inside, in a NIfTI whose axes run right, back and down."""
    affine = np.array([[0.8, 0, 0, -30], [0, -0.8, 0, 32], [0, 0, -2.0, 40], [0, 0, 0, 1.0]])
    index = np.stack(np.meshgrid(np.arange(80), np.arange(80), np.arange(40), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    mask = (np.linalg.norm(points - (0, 0, 2), axis=-1) < 18).astype(np.uint8)
    mask[np.linalg.norm(points - (6, 4, 6), axis=-1) < 8] = 2
    hu = np.choose(mask, [-60, 100, 160]).astype(np.int16)
    nib.save(nib.Nifti1Image(hu, affine), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), tmp_path / "mask.nii.gz")
    return {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "mask.nii.gz")}


def _prepared(volume: dict[str, str], **arguments: object) -> dict[str, MetaTensor]:
    keys = [key for key in ("image", "label") if key in volume]
    chain = Compose(
        [LoadImaged(keys), EnsureChannelFirstd(keys), PrepareCtVolumed(spacing_mm=(2.0, 1.0, 1.0), **arguments)]
    )
    out: dict[str, MetaTensor] = chain(volume)
    return out


def test_image_and_mask_are_those_of_monais_resampling_at_the_same_places(volume: dict[str, str]) -> None:
    found = _prepared(volume, regions=[[1, 2], [2]])
    loaded = Compose([LoadImaged(["image"]), EnsureChannelFirstd(["image"])])({"image": volume["image"]})["image"]
    expected = SpatialResample(mode="bilinear", padding_mode="border")(
        loaded, dst_affine=found["image"].affine, spatial_size=found["image"].shape[1:]
    )
    window = ((expected.numpy() + 160) / 400).clip(0, 1)
    difference = np.abs(found["image"].numpy() * FROM_BYTES - window)
    # Rounding to 8 bit; MONAI cuts off outside the range after interpolation, we before.
    assert difference.max() < 0.01
    stomach, tumour = found["label"].numpy().astype(bool)
    assert (tumour <= stomach).all()
    voxels = int((np.asarray(nib.load(volume["label"]).dataobj) == 2).sum())  # type: ignore[attr-defined]
    assert tumour.sum() * 2.0 == pytest.approx(voxels * 0.8 * 0.8 * 2, rel=0.03)


def test_a_margin_keeps_the_mask_and_so_much_around_it(volume: dict[str, str]) -> None:
    found = _prepared(volume, regions=[[1, 2]], margin_mm=4)
    used = np.argwhere(found["label"][0].numpy())
    room = np.minimum(used.min(axis=0), np.array(found["label"].shape[1:]) - 1 - used.max(axis=0)) * (2, 1, 1)
    assert (room >= 2).all()
    assert (room <= 7).all()


def test_an_image_alone_is_prepared_as_a_whole(volume: dict[str, str]) -> None:
    found = _prepared({"image": volume["image"]}, margin_mm=4, multiple=8)
    assert "label" not in found
    assert tuple(found["image"].shape) == (1, 40, 64, 64)


def _write(folder: Path, records: list[dict[str, object]]) -> Path:
    (folder / "datalist.json").write_text(json.dumps({"training": records, "validation": [], "test": []}))
    return folder


def test_plain_records_slices_of_synth_and_pairs_become_samples(tmp_path: Path) -> None:
    plain = {"image": "a.nii.gz", "label": "b.nii.gz", "patient_id": "1"}
    synth = {"image": "c.nii.gz", "mask": "d.nii.gz", "label": 3, "patient_id": "2"}
    pair = {"image1": "e", "mask1": "f", "image2": "g", "mask2": "h", "lnm": 1, "patient_id": "3"}
    half = {"image1": "i", "mask1": "j", "image2": "k", "patient_id": "4"}
    records = read_volume_datalist(_write(tmp_path, [plain, synth, pair, half]))["training"]
    names = [(Path(r["image"]).name, Path(r["label"]).name, r["patient_id"]) for r in records]
    assert names == [
        ("a.nii.gz", "b.nii.gz", "1"),
        ("c.nii.gz", "d.nii.gz", "2"),
        ("e", "f", "3"),
        ("g", "h", "3"),
        ("i", "j", "4"),
    ]


def test_several_cohorts_are_one_unless_they_share_a_patient_across_sides(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = {"image": "a.nii.gz", "label": "b.nii.gz", "patient_id": "1"}
    _write(tmp_path / "one", [first])
    _write(tmp_path / "two", [{**first, "patient_id": "2"}])
    together = read_volume_datalist([tmp_path / "one", str(tmp_path / "two")])
    assert [Path(r["image"]).parent.name for r in together["training"]] == ["one", "two"]
    (tmp_path / "two" / "datalist.json").write_text(json.dumps({"validation": [first]}))
    with pytest.raises(UsageError, match="PATIENT_ON_BOTH_SIDES"):
        read_volume_datalist([tmp_path / "one", tmp_path / "two"])


def test_a_cohort_that_only_validates_is_one(tmp_path: Path) -> None:
    """What published weights are measured on."""
    record = {"image": "a.nii.gz", "label": "b.nii.gz", "patient_id": "1"}
    (tmp_path / "datalist.json").write_text(json.dumps({"validation": [record]}))
    found = read_volume_datalist(tmp_path)
    assert [len(found[split]) for split in ("training", "validation", "test")] == [0, 1, 0]
    assert records_of(found, "validation") == found["validation"]
    with pytest.raises(UsageError, match=r"DATALIST_INVALID.*records of training"):
        records_of(found, "training")


def test_a_datalist_without_any_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DATALIST_INVALID"):
        read_volume_datalist(_write(tmp_path, [{"image": "a", "label": 2, "patient_id": "1"}]))


def _half_and_half(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The formula on one crop of one channel, voxel lists in double precision."""
    p, y = torch.sigmoid(logits.double()).flatten(), label.double().flatten()
    entropy = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    dice = 1 - (2 * (p * y).sum() + 1e-5) / (p.sum() + y.sum() + 1e-5)
    return (0.5 * entropy + 0.5 * dice).item()


def test_the_loss_is_half_cross_entropy_and_half_dice_of_each_crop() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(3, 2, 4, 4, 4), (torch.rand(3, 2, 4, 4, 4) > 0.7).float()
    expected = [_half_and_half(a, b) for x, y in zip(logits, label, strict=True) for a, b in zip(x, y, strict=True)]
    assert DiceBceLoss()(logits, label).item() == pytest.approx(sum(expected) / 6, abs=1e-5)


def test_a_crop_without_tumour_costs_cross_entropy_only() -> None:
    torch.manual_seed(1)
    logits = torch.randn(1, 1, 4, 4, 4)
    entropy = torch.nn.functional.softplus(logits).mean()
    assert DiceBceLoss()(logits, torch.zeros_like(logits)).item() == pytest.approx(0.5 * entropy.item(), abs=1e-6)


def test_what_is_marked_in_an_empty_crop_can_cost_as_much_as_a_missed_tumour() -> None:
    logits = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    label = (torch.rand(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(4)) > 0.7).float()
    label[1] = 0
    marked = torch.sigmoid(logits[1].double()).sum().item()
    entropy = torch.nn.functional.softplus(logits[1].double()).mean().item()
    empty = 0.5 * entropy + 0.5 * marked / (marked + 20)
    expected = (_half_and_half(logits[0], label[0]) + empty) / 2
    assert DiceBceLoss(empty_voxels=20)(logits, label).item() == pytest.approx(expected, abs=1e-5)


def test_the_part_for_places_asks_cell_by_cell_whether_there_is_tumour() -> None:
    logits = torch.randn(1, 1, 1, 8, 12, generator=torch.Generator().manual_seed(5))
    label, counts = torch.zeros_like(logits), torch.ones_like(logits)
    label[..., :4, :2] = 1  # half of the first cell
    label[..., :1, 5:7] = 1  # an eighth of the second: neither with nor without
    counts[..., 4:, 8:] = 0  # the last one is not attended to
    both = torch.cat([label, counts], dim=1)
    highest = [
        logits[..., i : i + 4, j : j + 4].double().max().item() + math.log(20) for i in (0, 4) for j in (0, 4, 8)
    ]
    entropies = [math.log1p(math.exp(-highest[0])) * 20, *(math.log1p(math.exp(highest[i])) for i in (2, 3, 4))]
    added = DiceBceLoss(places=0.5)(logits, both) - DiceBceLoss()(logits, both)
    assert added.item() == pytest.approx(0.5 * sum(entropies) / 23, abs=1e-5)


def test_where_nothing_is_marked_a_small_tumour_pulls_far_harder_through_its_places() -> None:
    label = torch.zeros(1, 1, 16, 32, 32)
    label[..., 8:10, 8:16, 8:12] = 1
    pulls = []
    for places in (0.0, 1.0):
        logits = torch.full_like(label, -7).requires_grad_()
        DiceBceLoss(empty_voxels=500, places=places)(logits, label).backward()
        assert logits.grad is not None
        pulls.append(-logits.grad[label > 0].sum().item())
    assert pulls[1] > 10 * pulls[0] > 0


def test_a_small_tumour_counts_as_much_as_the_large_one_beside_it() -> None:
    label = torch.zeros(2, 1, 8, 8, 8)
    label[0, 0, :6] = 1
    label[1, 0, 0, 0, 0] = 1
    logits = torch.zeros_like(label).requires_grad_()
    DiceBceLoss(weight=1.0)(logits, label).backward()
    assert logits.grad is not None
    inside = logits.grad[label > 0]
    # Of 384 voxels and of one; summed over the batch the gradients of both voxels would be the same.
    assert inside[-1] / inside[0] > 1.2


def test_the_loss_and_the_metric_do_not_see_what_is_not_attended_to() -> None:
    torch.manual_seed(2)
    logits, label = torch.randn(1, 1, 4, 4, 4), (torch.rand(1, 1, 4, 4, 4) > 0.5).float()
    counts = torch.zeros_like(label)
    counts[..., :2] = 1
    both = torch.cat([label, counts], dim=1)
    expected = _half_and_half(logits[..., :2], label[..., :2])
    assert DiceBceLoss()(logits, both).item() == pytest.approx(expected, abs=1e-5)
    split = SplitAttendedd()({"pred": (logits > 0).float()[0], "label": both[0]})
    assert split["label"].shape == (1, 4, 4, 4)
    assert not split["pred"][..., 2:].any()
    assert torch.equal(split["pred"][..., :2], (logits > 0).float()[0, ..., :2])


def test_attended_is_what_lies_within_reach_of_the_organ_and_everything_without_one(volume: dict[str, str]) -> None:
    near = _prepared(volume, attended_key="attended", organ=[1, 2], reach_mm=4.0)["attended"]
    organ = _prepared(volume, regions=[[1, 2]])["label"]
    # A box of 4 mm to each side is 2 slices, 4 rows and 4 columns.
    expected = np.pad(organ[0].numpy(), ((2, 2), (4, 4), (4, 4)))
    expected = np.lib.stride_tricks.sliding_window_view(expected, (5, 9, 9)).max(axis=(3, 4, 5))
    np.testing.assert_array_equal(near[0].numpy(), expected)
    assert 0 < near.sum() < near.numel()
    assert _prepared(volume, attended_key="attended")["attended"].all()
