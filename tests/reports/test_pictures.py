"""The pictures show the patient the way a radiologist expects, whatever way the scanner stored the slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders.study_result import make_study_result, make_volume

from gastromap.reports.drawing import plan_display, turn, windowed
from gastromap.reports.pictures import draw_pictures


def world_volume(orientation, *, shape=(40, 60), spacing=(1.0, 1.0)):
    """Volume whose voxels hold a bright spot at the patient's left front, placed by world coordinates."""
    volume = make_volume(slices=3, shape=shape, spacing=spacing, orientation=orientation)
    rows, columns = shape
    j, i = np.mgrid[0:rows, 0:columns]
    world = volume.affine_lps[:3, 0, None, None] * (i - (columns - 1) / 2) + volume.affine_lps[:3, 1, None, None] * (
        j - (rows - 1) / 2
    )
    spot = (world[0] > 8) & (world[1] < -8)
    hu = np.where(spot, 200.0, -100.0).astype(np.float32)
    return make_volume(slices=3, spacing=spacing, orientation=orientation, hu=np.repeat(hu[None], 3, axis=0))


class TestRadiologicalConvention:
    @pytest.mark.parametrize(
        "orientation",
        [
            pytest.param((1, 0, 0, 0, 1, 0), id="supine, head first"),
            pytest.param((-1, 0, 0, 0, -1, 0), id="prone"),
            pytest.param((0, 1, 0, -1, 0, 0), id="decubitus"),
            pytest.param((0, 1, 0, 1, 0, 0), id="transposed"),
            pytest.param((-1, 0, 0, 0, 1, 0), id="seen from the head"),
            pytest.param((0.996, 0.087, 0, -0.087, 0.996, 0), id="turned by five degrees"),
        ],
    )
    def test_left_is_right_and_front_is_up(self, orientation):
        volume = world_volume(orientation)
        plan = plan_display(volume)
        picture = turn(volume.hu[1], plan)
        y, x = np.nonzero(picture > 100)
        assert x.mean() > picture.shape[1] / 2
        assert y.mean() < picture.shape[0] / 2
        assert (plan.right, plan.down) == ("L", "P")

    def test_pixels_become_square(self):
        volume = make_volume(slices=3, shape=(50, 100), spacing=(2.0, 0.5))
        plan = plan_display(volume)
        assert plan.size == (360, 720)  # 50 mm x 100 mm
        assert plan.mm_per_pixel == pytest.approx(100 / 720)

    def test_a_coronal_slice_has_the_feet_at_the_bottom(self):
        plan = plan_display(make_volume(slices=3, orientation=(1, 0, 0, 0, 0, 1)))
        assert (plan.right, plan.down) == ("L", "F")

    def test_the_heat_map_turns_with_the_slice(self):
        usual, prone = (
            draw_pictures(make_study_result(orientation=orientation, key=1, slices=3), class_label="cT3")
            for orientation in ((1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0))
        )
        # Colour is where channels differ; the strip with its amber line and colour bar is left out.
        heat = [np.ptp(p.grad_cam[:700].astype(int), axis=-1) > 30 for p in (usual, prone)]
        assert heat[0][:360, 360:].sum() > 0.9 * heat[0].sum()
        assert heat[1][360:, :360].sum() > 0.9 * heat[1].sum()


class TestWindow:
    def test_level_50_width_350_maps_its_ends_to_black_and_white(self):
        hu = np.array([[-1000, -125, 50, 225, 3000]], dtype=np.float32)
        assert windowed(hu).tolist() == [[0.0, 0.0, 127.5, 255.0, 255.0]]


class TestBurntInText:
    def test_both_pictures_are_equal_in_size_and_carry_the_amber_line(self):
        pictures = draw_pictures(make_study_result(), class_label="cT3")
        assert pictures.key_slice.shape == pictures.grad_cam.shape
        for pixels in (pictures.key_slice, pictures.grad_cam):
            strip = pixels[-96:, :500].astype(int)
            assert ((strip[..., 0] - strip[..., 2]) > 80).sum() > 300

    def test_the_text_below_the_slice_names_the_class(self):
        one, other = (draw_pictures(make_study_result(), class_label=label) for label in ("cT3", "cT4"))
        assert (one.grad_cam[-35:] != other.grad_cam[-35:]).any()
        assert (one.grad_cam[:-35] == other.grad_cam[:-35]).all()

    def test_the_text_below_the_slice_names_the_method(self):
        result = make_study_result()
        other = replace(result, grad_cam=replace(result.grad_cam, method="Grad-CAM", layer="layer4"))
        one, two = (draw_pictures(item, class_label="cT3").grad_cam for item in (result, other))
        assert (one[-60:-35] != two[-60:-35]).any()
        assert (one[:-60] == two[:-60]).all()
        assert (one[-35:] == two[-35:]).all()

    def test_no_line_of_text_reaches_the_edge_of_the_narrowest_picture(self):
        pictures = draw_pictures(make_study_result(), class_label="ycT4")
        for pixels in (pictures.key_slice, pictures.grad_cam):
            assert pixels[-60:, 590:].max() == 0

    def test_no_heat_leaves_the_anatomy_untouched(self):
        result = make_study_result()
        result.grad_cam.heatmap[:] = 0.1
        pictures = draw_pictures(result, class_label="cT3")
        assert (pictures.grad_cam[:-96] == pictures.key_slice[:-96]).all()
