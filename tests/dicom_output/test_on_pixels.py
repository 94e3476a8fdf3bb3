"""Objects on the grid of the CT: outline, values of the heat map, mark of the key slice. Read by pydicom alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from builders.study_result import FOLLOWUP_STUDY_UID, make_pair_result, make_study_result, make_tumour, make_volume
from builders.validators import run, unexplained_warnings
from matplotlib.path import Path as Polygon

from gastromap.dicom_input.segments import own_result
from gastromap.dicom_output.presentation_state import outlines
from gastromap.output import write_study


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One study whose tumour a model found."""
    folder = tmp_path_factory.mktemp("pixels")
    result = make_study_result(RescaleSlope=1, RescaleIntercept=-1024)
    result = replace(result, tumour=make_tumour(result.volume))
    write_study(result, folder)
    return result, folder


def read(folder, name):
    return pydicom.dcmread(folder / "dicom" / f"{name}.dcm")


def placed(volume, index):
    return volume.affine_lps[:3] @ [0, 0, index, 1]


def frame_places(item):
    return [
        np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for frame in item.PerFrameFunctionalGroupsSequence
    ]


class TestOutline:
    def test_has_the_voxels_of_the_mask_at_their_places_in_the_patient(self, written):
        result, folder = written
        item = read(folder, "seg")
        mask, volume = result.tumour.mask, result.volume
        filled = np.flatnonzero(mask.any(axis=(1, 2)))
        frames = item.pixel_array.astype(bool)
        assert len(frames) == len(filled)
        for frame, place in zip(frames, frame_places(item), strict=True):
            distances = [np.linalg.norm(place - placed(volume, index)) for index in filled]
            nearest = int(np.argmin(distances))
            assert distances[nearest] < 1e-3
            assert np.array_equal(frame, mask[filled[nearest]])

    def test_lies_in_the_frame_and_on_the_grid_of_the_source(self, written):
        result, folder = written
        item, header = read(folder, "seg"), result.volume.sources[0].header
        assert item.FrameOfReferenceUID == header.FrameOfReferenceUID
        (shared,) = item.SharedFunctionalGroupsSequence
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        assert [float(mm) for mm in spacing] == pytest.approx(result.volume.pixel_spacing_mm, abs=1e-5)

    def test_names_the_model_that_drew_it_and_not_the_one_that_staged(self, written):
        result, folder = written
        item, staged = read(folder, "seg"), read(folder, "sr")
        assert item.DeviceSerialNumber == result.tumour.model.weights_sha256[:16]
        assert item.DeviceUID != staged.DeviceUID
        (segment,) = item.SegmentSequence
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmName == result.tumour.model.name
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "372087000"
        assert segment.AnatomicRegionSequence[0].CodeValue == "69695003"

    def test_is_for_research_and_is_no_input_of_a_later_run(self, written):
        for name in ("seg", "gsps", "kos", "cam"):
            item = read(written[1], name)
            assert "research use, not for diagnosis" in item.SeriesDescription
            assert own_result(item)
        assert read(written[1], "seg").ContentQualification == "RESEARCH"

    def test_the_size_in_the_report_is_that_of_its_segment(self, written):
        _, folder = written
        item, report = read(folder, "seg"), read(folder, "sr")
        (group,) = [g for g in report.ContentSequence[-1].ContentSequence if _tracking(g) == "Tumour size"]
        (segment,) = [i for i in group.ContentSequence if i.get("ReferencedSOPSequence") and i.ValueType == "IMAGE"]
        (reference,) = segment.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == item.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == 1

    def test_every_model_is_named_among_the_equipment_of_the_report(self, tmp_path):
        result = make_pair_result()
        write_study(result, tmp_path)
        numbers = {i.get("DeviceSerialNumber") for i in read(tmp_path, "sr").ContributingEquipmentSequence}
        models = (result.stage.model, result.tumour.model, result.comparison.outlook.model)
        assert {model.weights_sha256[:16] for model in models} <= numbers

    def test_an_outline_that_came_with_the_study_is_not_written_again(self, tmp_path):
        result = make_study_result()
        write_study(replace(result, tumour=make_tumour(result.volume, origin="seg")), tmp_path)
        assert not (tmp_path / "dicom" / "seg.dcm").exists()

    def test_of_either_study_lies_in_its_study(self, tmp_path):
        result = make_pair_result()
        write_study(result, tmp_path)
        item = read(tmp_path, "seg_after")
        assert item.StudyInstanceUID == FOLLOWUP_STUDY_UID
        known = {source.sop_instance_uid for source in result.comparison.followup.volume.sources}
        named = {i.ReferencedSOPInstanceUID for i in item.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert named
        assert named <= known


class TestWithoutThicknessOrFrame:
    @pytest.mark.parametrize("name", ["seg", "cam", "gsps", "kos"])
    def test_the_objects_still_conform(self, tmp_path, name):
        volume = make_volume(SliceThickness=None, FrameOfReferenceUID=None)
        volume = replace(volume, series=replace(volume.series, thickness_mm=None))
        result = make_study_result(volume=volume)
        write_study(replace(result, tumour=make_tumour(volume)), tmp_path)
        assert unexplained_warnings(tmp_path / "dicom" / f"{name}.dcm") == []

    def test_they_still_lie_in_one_frame(self, tmp_path):
        """Else a viewer would not draw one over the other."""
        volume = make_volume(FrameOfReferenceUID=None)
        result = make_study_result(volume=volume)
        write_study(replace(result, tumour=make_tumour(volume)), tmp_path)
        frames = {read(tmp_path, name).FrameOfReferenceUID for name in ("seg", "cam")}
        assert len(frames) == 1


class TestHeatMap:
    def test_values_are_those_of_the_heat_maps_at_the_places_of_their_slices(self, written):
        result, folder = written
        item = read(folder, "cam")
        values = np.frombuffer(item.FloatPixelData, "<f4").reshape(-1, item.Rows, item.Columns)
        places = frame_places(item)
        assert len(places) == len(values) == len(result.grad_cam.slices) == 3
        for heat_map in result.grad_cam.slices:
            (frame,) = (
                n for n, place in enumerate(places) if np.allclose(place, placed(result.volume, heat_map.index))
            )
            assert np.array_equal(values[frame], heat_map.heatmap)

    def test_says_what_its_values_are_and_that_they_outline_nothing(self, written):
        item = read(written[1], "cam")
        (mapping,) = item.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        (quantity,) = mapping.QuantityDefinitionSequence
        assert quantity.ConceptCodeSequence[0].CodeValue == "130403"
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
        assert item.ContentDescription == "Explanation of class cT3, not a lesion outline."


class TestDrawing:
    def test_lines_run_along_the_edges_of_the_pixels_of_the_mask(self, written):
        result, folder = written
        (annotation,) = read(folder, "gsps").GraphicAnnotationSequence
        mask = result.tumour.mask[result.key_slice.index]
        inside = np.zeros(mask.shape, dtype=bool)
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5  # middles of the pixels, PS3.3 C.10.5
        for drawn in annotation.GraphicObjectSequence:
            line = np.reshape(drawn.GraphicData, (-1, 2))
            assert np.array_equal(line[0], line[-1])
            inside ^= Polygon(line).contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(mask.shape)
        assert np.array_equal(inside, mask)

    def test_a_hole_in_the_mask_is_no_tumour(self):
        mask = np.ones((7, 9), bool)
        mask[3, 4] = False
        lines = outlines(mask)
        assert sorted(len(line) for line in lines) == [5, 33]
        outer = max(lines, key=len)
        assert (outer.min(0).tolist(), outer.max(0).tolist()) == ([0.0, 0.0], [9.0, 7.0])

    def test_the_slice_is_shown_in_hounsfield_units_in_the_window_of_the_network(self, written):
        result, folder = written
        item, header = read(folder, "gsps"), result.volume.sources[result.key_slice.index].header
        assert (item.RescaleSlope, item.RescaleIntercept) == (header.RescaleSlope, header.RescaleIntercept)
        (window,) = item.SoftcopyVOILUTSequence
        assert (window.WindowCenter, window.WindowWidth) == (40, 400)
        (series,) = item.ReferencedSeriesSequence
        assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == result.key_slice.sop_instance_uid

    def test_dcmpschk_passes(self, written):
        assert "Test passed." in run("dcmpschk", written[1] / "dicom" / "gsps.dcm").stderr

    def test_there_is_none_of_a_tumour_beside_the_key_slice(self, tmp_path):
        result = make_study_result()
        tumour = make_tumour(result.volume, key=9)
        assert not tumour.mask[result.key_slice.index].any()
        write_study(replace(result, tumour=tumour), tmp_path)
        assert not (tmp_path / "dicom" / "gsps.dcm").exists()


class TestKeySliceMark:
    def test_refers_to_the_slice_that_was_staged(self, written):
        result, folder = written
        item = read(folder, "kos")
        assert item.ConceptNameCodeSequence[0].CodeValue == "113000"
        (series,) = item.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        (reference,) = series.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == result.key_slice.sop_instance_uid


def _tracking(group):
    found = [
        i.TextValue
        for i in group.get("ContentSequence", [])
        if i.ConceptNameCodeSequence[0].get("CodeValue") == "112039"
    ]
    return found[0] if found else ""
