"""The depth profile of the stomach's wall, on a ball whose layers are known."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from segmentation.test_finder import points_of

from gastromap.errors import UsageError
from gastromap.models.wall import NO_WALL_LOGIT, WallContextNet, WallNet
from gastromap.preprocessing.transforms import RAS_TO_LPS
from gastromap.preprocessing.volume import PatientGrid, sample_mask
from gastromap.preprocessing.wall import DEPTHS_MM, WALL_CHANNELS, WallProfile, wall_profile
from gastromap.preprocessing.wall_transforms import PrepareWallProfiled, RandWallCellsd
from gastromap.segmentation.wall_reader import WallReader
from gastromap.training.highest_cell import HighestCellHit

_RADIUS, _WALL = 22.0, 5.0
#: Depth at which a layer ends, and its HU: mucosa, submucosa, muscularis.
_LAYERS = ((1.6, 118.0), (3.2, 50.0), (_WALL, 82.0))
_TUMOUR, _FAT = 94.0, -100.0
#: The wall on the patient's left of this plane is tumour.
_LEFT_MM = 10.0

_SUPINE = np.array([[0.8, 0, 0, -32], [0, 0.8, 0, -32], [0, 0, 1.0, -32], [0, 0, 0, 1.0]])
_PRONE_HEAD_FIRST = np.array([[-0.8, 0, 0, 32], [0, -0.8, 0, 32], [0, 0, -1.0, 32], [0, 0, 0, 1.0]])
_SHAPE = (65, 81, 81)


def _stomach(affine: np.ndarray, *, lumen: float = 10.0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """HU, and a mask of 1 stomach 2 tumour."""
    points = points_of(affine, _SHAPE)
    depth = np.linalg.norm(points, axis=-1) - _RADIUS
    tumour = (points[..., 0] > _LEFT_MM) & (depth > 0) & (depth <= _WALL)
    hu = np.full(_SHAPE, _FAT)
    for end, value in reversed(_LAYERS):
        hu[depth <= end] = value
    hu[tumour] = _TUMOUR
    hu[depth <= 0] = lumen
    hu += np.random.default_rng(0).normal(0, noise, _SHAPE) if noise else 0
    return hu, np.where(tumour, 2, depth <= _WALL).astype(np.uint8)


def _profile(affine: np.ndarray, **options: float) -> WallProfile:
    hu, mask = _stomach(affine, **options)
    grid = PatientGrid.covering(affine, _SHAPE, (4.0, 4.0, 4.0))
    distance = np.linalg.norm(points_of(grid.affine_lps, grid.shape), axis=-1)
    assert mask.any()
    return wall_profile(hu, affine, distance <= _RADIUS + _WALL, grid)


def _tissue(profile: WallProfile, *, along: int, depth_mm: float) -> np.ndarray:
    """Mean of the soft tissue at a depth, in HU above the median."""
    depths = len(DEPTHS_MM) - 1
    layer = int(np.searchsorted(DEPTHS_MM, depth_mm)) - 1
    return profile.values[2 * (along * depths + layer)].astype(float) * 100


def _places(profile: WallProfile) -> np.ndarray:
    return points_of(profile.grid.affine_lps, profile.grid.shape)


@pytest.mark.parametrize("affine", [_SUPINE, _PRONE_HEAD_FIRST], ids=["supine", "prone"])
@pytest.mark.parametrize("lumen", [10.0, -985.0], ids=["fluid", "gas"])
def test_where_the_layers_are_missing_it_is_brighter_at_the_depth_of_the_submucosa_than_elsewhere(
    affine: np.ndarray, lumen: float
) -> None:
    profile = _profile(affine, lumen=lumen)
    x = _places(profile)[..., 0]
    inside, far = profile.wall & (x > _LEFT_MM + 6), profile.wall & (x < _LEFT_MM - 20)
    assert inside.sum() > 20
    # Averaged over 3 mm. The lumen's border is known to half a voxel, and layers share the voxels between them.
    found = _tissue(profile, along=1, depth_mm=2.8)
    assert 20 < np.median(found[inside]) < _TUMOUR - 50
    assert np.median(found[far]) == pytest.approx(0, abs=10)


def test_the_averages_along_the_wall_take_out_the_noise() -> None:
    clear, noisy = (_profile(_SUPINE, noise=noise) for noise in (0.0, 15.0))
    far = clear.wall & noisy.wall & (_places(clear)[..., 0] < _LEFT_MM - 20)
    spread = [
        np.std((_tissue(noisy, along=along, depth_mm=2.8) - _tissue(clear, along=along, depth_mm=2.8))[far])
        for along in (0, 1, 2)
    ]
    assert spread[0] > 2 * spread[1] > 2 * spread[2]
    assert spread[2] < 3


def test_the_wall_lies_around_the_lumen_and_nowhere_else() -> None:
    profile = _profile(_SUPINE)
    distance = np.linalg.norm(_places(profile), axis=-1) - _RADIUS
    # Cells are 4 mm wide and the profile 8.5 mm deep.
    assert not profile.wall[(distance < -4) | (distance > DEPTHS_MM[-1] + 4)].any()
    assert profile.wall[(distance > 0.5) & (distance < 6)].all()
    assert profile.values.shape == (WALL_CHANNELS, *profile.wall.shape)


def test_gas_of_which_the_stomach_holds_only_a_small_part_is_another_organs() -> None:
    """The coarse network's border may lie in the lung."""
    shape = (65, 81, 141)
    points = points_of(_SUPINE, shape)
    depth = np.linalg.norm(points, axis=-1) - _RADIUS
    x = points[..., 0]
    hu = np.full(shape, _FAT)
    hu[x > 31] = 10.0
    hu[x > 34] = -850.0
    hu[depth <= _WALL] = 82.0
    hu[depth <= 0] = 10.0
    grid = PatientGrid.covering(_SUPINE, shape, (4.0, 4.0, 4.0))
    places = points_of(grid.affine_lps, grid.shape)
    # Of what lies beside, it takes 10 of 46 mm.
    taken = (np.linalg.norm(places, axis=-1) <= _RADIUS + _WALL) | (
        (places[..., 0] > 20) & (places[..., 0] < 44) & (np.abs(places[..., 1:]) < 14).all(axis=-1)
    )
    profile = wall_profile(hu, _SUPINE, taken, grid)
    distance = np.linalg.norm(_places(profile), axis=-1) - _RADIUS
    assert profile.wall[(distance > 0.5) & (distance < 6)].all()
    assert not profile.wall[distance > DEPTHS_MM[-1] + 4].any()


class _Submucosa(torch.nn.Module):
    """Contrast at the depth of the submucosa, averaged over 3 mm, as a logit."""

    def forward(self, profile: torch.Tensor) -> torch.Tensor:
        depths = len(DEPTHS_MM) - 1
        channel = 2 * (depths + int(np.searchsorted(DEPTHS_MM, 2.8)) - 1)
        return 10 * profile[:, channel : channel + 1]


def test_what_the_network_says_of_the_cells_lies_at_their_places_of_any_grid() -> None:
    hu, mask = _stomach(_PRONE_HEAD_FIRST)
    grid = PatientGrid.covering(_PRONE_HEAD_FIRST, _SHAPE, (2.0, 1.0, 1.0))
    stomach = sample_mask(mask > 0, _PRONE_HEAD_FIRST, grid) >= 0.5
    found = WallReader(_Submucosa(), torch.device("cpu"))(hu, _PRONE_HEAD_FIRST, stomach, grid, grid)
    assert found.shape == grid.shape
    x, y, z = grid.point(np.unravel_index(found.argmax(), found.shape))
    assert x > _LEFT_MM
    assert np.linalg.norm((x, y, z)) == pytest.approx(_RADIUS, abs=8)
    assert found[0, 0, 0] == pytest.approx(-6)
    assert found.min() >= -6 - 1e-4


@pytest.fixture
def record(tmp_path) -> dict[str, str]:
    """The stomach as NIfTI files."""
    hu, mask = _stomach(_SUPINE)
    paths = {}
    for name, volume in (("image", hu.astype(np.int16)), ("label", mask)):
        paths[name] = str(tmp_path / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), RAS_TO_LPS @ _SUPINE), paths[name])
    return paths


def _prepared(record: dict[str, str], organ: list[int]) -> dict[str, torch.Tensor]:
    keys = ["image", "label"]
    prepare = PrepareWallProfiled(tumour=[2], organ=organ, stomach_spacing_mm=[4, 4, 4])
    return Compose([LoadImaged(keys, reader="NibabelReader"), EnsureChannelFirstd(keys), prepare])(record)


def test_training_gets_the_profile_with_the_cells_of_which_a_quarter_is_tumour(record: dict[str, str]) -> None:
    prepared = _prepared(record, [1, 2])
    expected = _profile(_SUPINE)
    assert prepared["image"].shape == expected.values.shape
    label, attended = prepared["label"][0].bool().numpy(), prepared["attended"][0].bool().numpy()
    x = _places(expected)[..., 0]
    assert label.any()
    assert (x[label] > _LEFT_MM - 2).all()
    assert not (attended & ~expected.wall).any()
    # A cell at the edge of the tumour counts neither as one with it nor as one without.
    assert (expected.wall & ~attended).any()
    left_out = expected.wall & ~attended
    assert (x[left_out] > _LEFT_MM - 2).all()


def test_a_mask_without_stomach_is_refused(record: dict[str, str]) -> None:
    keys = ["image", "label"]
    loaded = Compose([LoadImaged(keys, reader="NibabelReader"), EnsureChannelFirstd(keys)])(record)
    with pytest.raises(UsageError, match="MASK_WITHOUT_STOMACH"):
        PrepareWallProfiled(tumour=[2], organ=[7], stomach_spacing_mm=[4, 4, 4])(loaded)


def _cells(**options: int) -> dict[str, torch.Tensor]:
    """Sixty cells, numbered; the first ten tumour, the last twenty not to be looked at."""
    label, attended = torch.zeros(1, 3, 4, 5), torch.ones(1, 3, 4, 5)
    label.flatten()[:10] = 1
    attended.flatten()[40:] = 0
    draw = RandWallCellsd(**options)
    draw.set_random_state(seed=0)
    return draw({"image": torch.arange(60.0).reshape(1, 3, 4, 5), "label": label, "attended": attended})


@pytest.mark.parametrize("tumour", [4, 16])
def test_as_many_cells_of_a_tumour_are_drawn_be_it_small_or_large_and_the_rest_elsewhere_in_the_wall(
    tumour: int,
) -> None:
    drawn = _cells(count=24, tumour=tumour)
    assert set(drawn) == {"image", "label"}
    assert drawn["image"].shape == drawn["label"].shape == (1, 24, 1, 1)
    numbers, label = drawn["image"].flatten(), drawn["label"].flatten().bool()
    assert label.sum() == tumour
    assert (numbers[label] < 10).all()
    # Of ten cells, four are four different ones.
    assert tumour > 10 or len(set(numbers[label].tolist())) == tumour
    assert ((numbers[~label] >= 10) & (numbers[~label] < 40)).all()
    assert len(set(numbers[~label].tolist())) == 24 - tumour


def test_a_tumour_alone_can_fill_what_is_drawn() -> None:
    drawn = _cells(count=6, tumour=80)
    assert drawn["label"].flatten().tolist() == [1] * 6


def test_a_small_stomach_gives_cells_twice_and_one_without_tumour_no_cell_with_it() -> None:
    drawn = _cells(count=100, tumour=60)
    assert drawn["label"].sum() == 60
    numbers = drawn["image"].flatten()
    assert len(numbers) == 100
    assert set(numbers.tolist()) <= set(range(40))
    without = {"image": torch.rand(1, 3, 4, 5), "label": torch.zeros(1, 3, 4, 5), "attended": torch.ones(1, 3, 4, 5)}
    assert RandWallCellsd(count=20, tumour=8)(without)["label"].sum() == 0


def test_the_network_judges_each_cell_by_itself() -> None:
    torch.manual_seed(0)
    net = WallNet(16, in_channels=6).eval()
    cells = torch.randn(1, 6, 4, 5, 3)
    order = torch.randperm(60)
    shuffled = cells.flatten(2)[:, :, order].reshape(cells.shape)
    torch.testing.assert_close(net(shuffled).flatten(), net(cells).flatten()[order])


def _wall(channels: int = 6) -> torch.Tensor:
    """A profile of which a part is wall, in two stomachs."""
    torch.manual_seed(1)
    return torch.randn(2, channels, 6, 7, 8) * (torch.rand(2, 1, 6, 7, 8) < 0.4)


def _context_net(*, trained: bool) -> WallContextNet:
    torch.manual_seed(0)
    net = WallContextNet(16, in_channels=6, width=5, hidden=12).eval()
    if trained:
        torch.nn.init.normal_(net.context["out"].weight)
    return net


def test_the_network_with_context_begins_with_what_the_other_says_and_cells_without_wall_have_a_low_logit() -> None:
    net, profile = _context_net(trained=False), _wall()
    alone = WallNet(16, in_channels=6).eval()
    alone.load_state_dict({name: value for name, value in net.state_dict().items() if not name.startswith("context.")})
    torch.testing.assert_close(net(profile), alone(profile))
    empty = (profile == 0).all(dim=1)
    assert 0.4 < empty.float().mean() < 0.8
    assert (net(profile)[:, 0][empty] == NO_WALL_LOGIT).all()
    assert net(profile)[:, 0][~empty].std() > 0.01


def test_looking_neighbours_up_is_a_convolution_over_the_wall() -> None:
    net, profile = _context_net(trained=True), _wall()
    wall = (profile != 0).any(dim=1, keepdim=True)
    part = net.context

    def convolved(values: torch.Tensor, narrow: torch.nn.Linear, read: torch.nn.Linear) -> torch.Tensor:
        seen = torch.relu(torch.einsum("bcdhw,nc->bndhw", values, narrow.weight) + narrow.bias[:, None, None, None])
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1) * wall
        kernel = read.weight.reshape(len(read.weight), 3, 3, 3, -1).permute(0, 4, 1, 2, 3)
        return torch.relu(torch.nn.functional.conv3d(seen, kernel, read.bias, padding=1))

    described = net.hidden(net.scale(profile))
    values = convolved(described, part["narrow_1"], part["read_1"])
    values = convolved(values, part["narrow_2"], part["read_2"])
    out = net.out(described) + torch.einsum("bcdhw,nc->bndhw", values, part["out"].weight) + part["out"].bias
    torch.testing.assert_close(net(profile)[wall], out[wall], rtol=1e-4, atol=1e-4)


def test_training_the_context_leaves_the_statistics_of_the_drawn_cells_and_a_stomach_without_wall_is_no_error() -> None:
    net, profile = _context_net(trained=True).train(), _wall()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(profile).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net(torch.zeros_like(profile)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.context.parameters())


def test_a_hit_is_a_highest_cell_in_the_tumour_or_beside_it_and_volumes_without_tumour_do_not_count() -> None:
    label = torch.zeros(4, 2, 5, 5, 5)
    label[:, 1] = 1
    label[:3, 0, 2, 2, 2] = 1
    label[1, 1, 0, 0, 0] = 0
    scores = torch.zeros(4, 1, 5, 5, 5)
    scores[0, 0, 3, 2, 2] = 1  # beside it
    scores[1, 0, 0, 0, 0] = 2  # not looked at
    scores[1, 0, 2, 2, 2] = 1
    scores[2, 0, 2, 2, 4] = 1  # two cells off
    scores[3, 0, 2, 2, 2] = 1  # no tumour
    metric = HighestCellHit()
    metric(scores, label)
    assert metric.aggregate().item() == pytest.approx(2 / 3)
