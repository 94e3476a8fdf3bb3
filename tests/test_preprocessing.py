"""From Hounsfield units to the network's input and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from gastromap.errors import ModelError
from gastromap.preprocessing import PreprocessingProfile, SlicePreprocessing

PAPER = SlicePreprocessing(PreprocessingProfile.named("paper"))
#: The middle of the body is found on a grid of about 3 mm, so the field may lie a grid step (2.4 network pixels) off.
CENTRE = 2.4
RELEASED = SlicePreprocessing(PreprocessingProfile.named("released"))


def make_body(
    *, spacing: float = 0.75, size: int = 512, centre: tuple[float, float] = (0.0, 0.0), table: bool = False
) -> np.ndarray:
    """Ellipse of soft tissue with a bright ball left in front of the middle, on air; mm around the image's middle."""
    axis = (np.arange(size) - (size - 1) / 2) * spacing
    y, x = np.meshgrid(axis - centre[0], axis - centre[1], indexing="ij")
    hu = np.full((size, size), -1000.0, np.float32)
    hu[(x / 150) ** 2 + (y / 105) ** 2 < 1] = 50
    hu[(x - 60) ** 2 + (y + 40) ** 2 < 15**2] = 180
    if table:
        hu[(np.abs(y - 130) < 2) & (np.abs(x) < 170)] = 100
    return hu


def affine(spacing_x: float, spacing_y: float | None = None, *, x: int = 1, y: int = 1) -> np.ndarray:
    return np.diag([x * spacing_x, y * (spacing_y or spacing_x), 1.0, 1.0])


def ball(tensor: torch.Tensor) -> tuple[float, float]:
    """Centre of the bright ball in network pixels."""
    rows, columns = np.nonzero(tensor[0].numpy() > tensor[0].numpy().max() - 0.3)
    return float(rows.mean()), float(columns.mean())


class TestGeometry:
    def test_a_pixel_of_the_network_is_1_25_mm_whatever_the_spacing_of_the_scan(self) -> None:
        for spacing in (0.6, 0.75, 0.95):
            row, column = ball(PAPER(make_body(spacing=spacing), affine(spacing)).tensor)
            assert row == pytest.approx(111.5 - 40 / 1.25, abs=CENTRE)
            assert column == pytest.approx(111.5 + 60 / 1.25, abs=CENTRE)

    def test_the_field_follows_the_body_not_the_image(self) -> None:
        middle = PAPER(make_body(), affine(0.75)).tensor
        shifted = PAPER(make_body(centre=(22.5, -15.0)), affine(0.75)).tensor
        assert (middle - shifted).abs().mean() < 0.06

    def test_the_couch_does_not_move_the_field(self) -> None:
        without, with_table = (PAPER(make_body(table=t), affine(0.75)).tensor for t in (False, True))
        assert ball(without) == pytest.approx(ball(with_table), abs=1.0)

    def test_anisotropic_pixels_keep_their_millimetres(self) -> None:
        fine = make_body(spacing=0.5, size=768)
        row, column = ball(PAPER(fine[:, ::2], affine(1.0, 0.5)).tensor)
        assert row == pytest.approx(111.5 - 40 / 1.25, abs=CENTRE)
        assert column == pytest.approx(111.5 + 60 / 1.25, abs=CENTRE)

    @pytest.mark.parametrize(
        ("turn", "matrix"),
        [
            (lambda a: a[:, ::-1], affine(0.75, x=-1)),
            (lambda a: a[::-1, ::-1], affine(0.75, x=-1, y=-1)),
            (lambda a: a.T, np.array([[0, 0.75, 0, 0], [0.75, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])),
        ],
        ids=["feet first", "prone", "rows and columns exchanged"],
    )
    def test_the_position_in_the_scanner_does_not_change_the_input(self, turn, matrix) -> None:
        straight = PAPER(make_body(), affine(0.75)).tensor
        turned = PAPER(np.ascontiguousarray(turn(make_body())), matrix).tensor
        torch.testing.assert_close(turned, straight)

    def test_an_empty_slice_is_prepared_without_a_fault(self) -> None:
        tensor = PAPER(np.full((512, 512), -1024, np.float32), affine(0.75)).tensor
        assert torch.isfinite(tensor).all()


class TestWayBack:
    @pytest.mark.parametrize("matrix", [affine(0.75), affine(0.75, x=-1, y=-1), affine(0.75, x=-1)])
    def test_a_map_returns_to_the_pixels_it_came_from(self, matrix) -> None:
        body = make_body()
        signs = (int(np.sign(matrix[1, 1])), int(np.sign(matrix[0, 0])))
        body = body[:: signs[0], :: signs[1]]
        prepared = PAPER(body, matrix)
        bright = (prepared.tensor[0].numpy() > prepared.tensor[0].numpy().max() - 0.3).astype(np.float32)
        back = prepared.to_slice(bright) > 0.5
        truth = body > 150
        assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.95

    def test_a_mask_is_sampled_like_its_image(self) -> None:
        body = make_body()
        prepared = PAPER(body, affine(0.75))
        mask = prepared.to_network(body > 150)[0].numpy()
        bright = prepared.tensor[0].numpy() > prepared.tensor[0].numpy().max() - 0.3
        assert 2 * ((mask > 0.5) & bright).sum() / ((mask > 0.5).sum() + bright.sum()) > 0.97

    def test_outside_the_field_the_map_is_zero(self) -> None:
        prepared = PAPER(make_body(), affine(0.75))
        back = prepared.to_slice(np.ones((7, 7), np.float32))
        assert back[0, 0] == 0
        assert back[256, 256] == 1


class TestIntensities:
    def test_paper_standardises_each_slice(self) -> None:
        tensor = PAPER(make_body(), affine(0.75)).tensor
        assert tensor.shape == (1, 224, 224)
        assert float(tensor.mean()) == pytest.approx(0, abs=1e-4)
        assert float(tensor.std()) == pytest.approx(1, abs=1e-4)

    def test_values_outside_the_window_do_not_count(self) -> None:
        metal = make_body()
        metal[metal > 150] = 226
        more = metal.copy()
        more[more > 225] = 3000
        torch.testing.assert_close(PAPER(metal, affine(0.75)).tensor, PAPER(more, affine(0.75)).tensor)

    def test_released_equals_torchvision_on_the_eight_bit_picture(self) -> None:
        hu = make_body() + np.random.default_rng(0).normal(0, 12, (512, 512)).astype(np.float32)
        eight_bit = np.round(np.clip((hu + 125) / 350, 0, 1) * 255).astype(np.uint8)
        reference = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Resize((224, 224), antialias=True),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )(Image.fromarray(eight_bit).convert("RGB"))
        torch.testing.assert_close(RELEASED(hu, affine(0.75)).tensor, reference, rtol=1e-4, atol=1e-4)

    def test_bias_correction_flattens_a_slow_shading(self) -> None:
        profile = PreprocessingProfile(bias_correction=True)
        body = make_body()
        ramp = np.linspace(-40, 40, 512, dtype=np.float32)[None, :]
        shaded = np.where(body > -500, body + ramp, body)
        inside = np.s_[60:90, 60:160]

        def slope(preprocess: SlicePreprocessing) -> float:
            row = preprocess(shaded, affine(0.75)).tensor[0].numpy()[inside].mean(axis=0)
            return abs(float(np.polyfit(np.arange(row.size), row, 1)[0]))

        assert slope(SlicePreprocessing(profile)) < 0.6 * slope(PAPER)


class TestProfiles:
    def test_an_unknown_profile_is_refused(self) -> None:
        with pytest.raises(ModelError, match="PROFILE_UNKNOWN"):
            PreprocessingProfile.from_mapping({"name": "mine"})

    def test_an_unknown_key_is_refused(self) -> None:
        with pytest.raises(ModelError, match="PROFILE_UNKNOWN"):
            PreprocessingProfile.from_mapping({"name": "paper", "gamma": 2})

    def test_a_profile_survives_the_model_card(self) -> None:
        for name in ("paper", "released"):
            profile = PreprocessingProfile.named(name)
            assert PreprocessingProfile.from_mapping(profile.to_mapping()) == profile
