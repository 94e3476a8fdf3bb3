"""The maps of the longitudinal model lie where the patient has them, however the scanner stored the slices."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
from builders.pairs import make_longitudinal_bundle
from builders.study_result import make_maps, make_outlook, make_pair_result, make_study_result

from gastromap.longitudinal import CtScan, LongitudinalPredictor
from gastromap.output_checks import check_result
from gastromap.preprocessing.volume import PatientGrid
from gastromap.reports.comparison_pictures import draw_comparison
from gastromap.reports.json_result import SCHEMA_PATH, encode_json
from gastromap.reports.shown_slice import shown_index

#: Right-handed, so that a picture of the usual and of a prone patient can be compared.
ORIENTATIONS = {"supine": (1, 0, 0, 0, 1, 0), "prone": (-1, 0, 0, 0, -1, 0), "transposed": (0, 1, 0, 1, 0, 0)}


def pair_with_one_warm_corner(orientation):
    """Map of node metastasis that is warm at the patient's left front only, in a crop of 48 mm a side."""
    result = make_pair_result(orientation=orientation, shape=(80, 80), followup={"orientation": orientation})
    volume = result.volume
    middle = (volume.affine_lps @ [39.5, 39.5, result.key_slice.index, 1.0])[:3]
    grid = PatientGrid.around(middle, (4.0, 2.0, 2.0), (16, 24, 24))
    maps = make_maps((grid, grid))
    lnm = np.zeros_like(maps.lnm)
    lnm[:, :, :3, 5:] = 1.0  # rows to the back, columns to the left
    outlook = make_outlook(maps=replace(maps, lnm=lnm))
    return replace(result, comparison=replace(result.comparison, outlook=outlook))


def colourful(picture):
    """Pixels that are not grey, without the annotations, which are."""
    return np.ptp(picture.astype(int), axis=-1) > 40


class TestMaps:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_left_front_of_the_crop_is_up_and_right_on_both_scans(self, orientation):
        pictures = draw_comparison(pair_with_one_warm_corner(ORIENTATIONS[orientation]))
        (lnm,) = (pair for pair in pictures.maps if pair.name == "lnm")
        for picture in (lnm.before, lnm.after):
            y, x = np.nonzero(colourful(picture))
            assert len(y) > 500
            assert y.mean() < 0.4 * picture.shape[0]
            assert x.mean() > 0.6 * picture.shape[1]

    def test_the_pictures_are_cut_to_the_crop(self):
        pictures = draw_comparison(pair_with_one_warm_corner(ORIENTATIONS["supine"]))
        # 48 mm of 0.8 mm pixels, drawn square at 400 pixels: 8.3 pixels a mm; the whole slice would have 6.25.
        rows, columns = pictures.maps[0].before.shape[:2]
        assert max(rows, columns) == 400
        assert min(rows, columns) >= 390

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_the_ring_is_drawn_round_the_tumour_before_treatment(self, orientation):
        result = pair_with_one_warm_corner(ORIENTATIONS[orientation])
        grid = result.comparison.outlook.maps.grids[0]
        # 10 mm to the left and 8 mm to the front of the middle of the crop.
        x, y, z = (np.array(grid.origin_lps) + 23.0 * np.array([1, 1, 0])).tolist()
        centre = (x + 10.0, y - 8.0, z)
        picture = {
            pair.name: pair
            for pair in draw_comparison(replace(result, tumour=replace(result.tumour, centre_lps=centre))).maps
        }["co_attention"].before
        rows, columns = np.nonzero(colourful(picture))
        assert columns.mean() / picture.shape[1] == pytest.approx(0.5 + 10 / 48, abs=0.03)
        assert rows.mean() / picture.shape[0] == pytest.approx(0.5 - 8 / 48, abs=0.03)

    def test_the_attention_shown_is_that_of_the_cell_with_the_tumour(self):
        result = pair_with_one_warm_corner(ORIENTATIONS["supine"])
        maps = result.comparison.outlook.maps
        cells = maps.co_attention.entropy.shape[2:]
        entropy = np.arange(2 * np.prod(cells), dtype=np.float32).reshape(1, 2, *cells) / 1000
        attention = replace(maps.co_attention, entropy=entropy)
        outlook = replace(result.comparison.outlook, maps=replace(maps, co_attention=attention))
        grid = maps.grids[0]
        # Voxel 1 of 24 lies in the first of 4 cells, voxel 20 in the last one; slice 8 of 16 in the third.
        centre = grid.point((8, 1, 20))
        result = replace(
            result,
            tumour=replace(result.tumour, centre_lps=centre),
            comparison=replace(result.comparison, outlook=outlook),
        )
        (shown,) = (pair for pair in draw_comparison(result).maps if pair.name == "co_attention")
        d, h, w = cells
        assert shown.spread == pytest.approx(entropy[0, 0, (8 * d) // 16, (1 * h) // 24, (20 * w) // 24])

    def test_without_a_mask_of_the_tumour_there_is_no_map_from_it(self):
        names = [pair.name for pair in draw_comparison(replace(make_pair_result(), tumour=None)).maps]
        assert names == ["lnm", "os_risk", "pooling"]

    def test_without_maps_or_outlook_there_are_none(self):
        assert draw_comparison(make_pair_result(maps=False)).maps == ()
        assert draw_comparison(make_pair_result(outlook=False)).maps == ()

    def test_one_study_has_no_comparison(self):
        assert draw_comparison(make_study_result()) is None


class TestRealModel:
    def test_maps_and_numbers_of_a_network_fit_the_writers(self, tmp_path):
        result = make_pair_result(shape=(96, 96), spacing=(3.0, 3.0), slices=30, key=15)
        after = result.comparison.followup
        scans = [
            CtScan(
                hu=volume.hu, affine_lps=volume.affine_lps, mask=tumour.mask, centre_lps=tumour.centre_lps, role=role
            )
            for volume, tumour, role in (
                (result.volume, result.tumour, "baseline"),
                (after.volume, after.tumour, "followup"),
            )
        ]
        predictor = LongitudinalPredictor.load(make_longitudinal_bundle(tmp_path), device=torch.device("cpu"))
        outlook = predictor(*scans, explain=True)
        result = replace(result, comparison=replace(result.comparison, outlook=outlook))
        check_result(result)
        pictures = draw_comparison(result)
        assert [pair.name for pair in pictures.maps] == ["lnm", "os_risk", "pooling", "co_attention"]
        # Weights are shares of the largest one, which lies somewhere in the scan, so that something is tinted.
        assert any(colourful(pair.after).any() for pair in pictures.maps)
        assert 0 < pictures.maps[-1].spread <= 1
        document = json.loads(encode_json(result))
        jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text())).validate(document)
        assert document["comparison"]["outlook"]["survival"]["36"] == outlook.outcome.survival[36]


class TestShownSlice:
    def test_the_key_slice_stands_for_the_examination(self):
        assert shown_index(make_pair_result(key=7).comparison.followup) == 7

    def test_without_one_the_slice_in_the_middle_of_the_crop(self):
        followup = make_pair_result(tumour_after=False, key=3).comparison.followup
        assert shown_index(followup) == 3
        assert shown_index(replace(followup, crop_centre_lps=(0.0, 0.0, 5000.0))) == 11

    def test_without_a_crop_the_middle_of_the_scan(self):
        followup = replace(make_pair_result(tumour_after=False).comparison.followup, crop_centre_lps=None)
        assert shown_index(followup) == 5
