"""Every file of a result, in memory: pictures, reports, DICOM objects, ``result.json``."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from gastromap.dicom_output.attributes import ObjectContext, object_context
from gastromap.reports.catalogue import Language
from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.drawing import as_png
from gastromap.reports.json_result import WrittenFile, encode_json, result_as_json
from gastromap.reports.metadata import encode_metadata
from gastromap.results import GradCamResult, KeySlice, StudyResult, Tumour
from gastromap.volume import CtVolume, SliceSource

__all__ = ["DICOM", "FINAL_NAMES", "REPORT_OBJECT", "RESULT", "BuiltFiles", "build_files"]

RESULT = "result.json"
METADATA = "metadata.json"
DICOM = "dicom"
REPORT_OBJECT = f"{DICOM}/sr.dcm"
#: Everything a result may put into its folder, in the order of renaming: of two runs at once, only one can rename the
#: DICOM folder; ``result.json`` is last.
FINAL_NAMES = (
    DICOM,
    "report.html",
    "report.pdf",
    "key_slice.png",
    "grad_cam.png",
    "key_slice_after.png",
    "grad_cam_after.png",
    METADATA,
    RESULT,
)


@dataclass(frozen=True)
class BuiltFiles:
    """Files of a result.

    Attributes
    ----------
    files : tuple of WrittenFile
        ``result.json`` last.
    objects : dict
        DICOM objects by file name, with the context of the study each is filed in.
    """

    files: tuple[WrittenFile, ...]
    objects: dict[str, tuple[Dataset, ObjectContext]]

    @property
    def names(self) -> tuple[str, ...]:
        """What is renamed, in order."""
        tops = {file.name.split("/")[0] for file in self.files}
        return tuple(name for name in FINAL_NAMES if name in tops)


def _as_file(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)  # a character lost here is found on reading back
    return buffer.getvalue()


def _captures(
    plain: NDArray[np.uint8],
    grad_cam: GradCamResult | None,
    context: ObjectContext,
    source: SliceSource,
    *,
    orientation: tuple[str, str],
    volume: CtVolume,
) -> dict[str, tuple[Dataset, ObjectContext]]:
    """Key slice and, where there are any, heat maps of one examination, in the study of their pixels."""
    from gastromap.dicom_output.secondary_capture import (
        KEY_SERIES_NUMBER,
        OVERLAY_SERIES_NUMBER,
        build_multiframe_capture,
        build_secondary_capture,
    )
    from gastromap.reports.phrases import heat_map_meaning, heat_map_method, stage_label
    from gastromap.reports.pictures import draw_heat_maps

    captures = {
        "key": build_secondary_capture(
            plain,
            context,
            source=source,
            series_number=KEY_SERIES_NUMBER,
            description="key slice",
            orientation=orientation,
        )
    }
    if grad_cam is not None:
        label = stage_label(volume.role, grad_cam.stage)
        meaning = heat_map_meaning(label)
        indices = [item.index for item in grad_cam.slices]
        captures["overlay"] = build_multiframe_capture(
            np.stack(draw_heat_maps(volume, grad_cam, class_label=label)),
            context,
            sources=[volume.sources[index] for index in indices],
            labels=[f"slice {volume.index_from_feet(index)}" for index in indices],
            series_number=OVERLAY_SERIES_NUMBER,
            description=grad_cam.method,
            derivation=f"{heat_map_method(grad_cam)}: {meaning}",
            orientation=orientation,
        )
    return {name: (item, context) for name, item in captures.items()}


def _on_pixels(
    volume: CtVolume,
    key: KeySlice | None,
    tumour: Tumour | None,
    grad_cam: GradCamResult | None,
    context: ObjectContext,
) -> dict[str, tuple[Dataset, ObjectContext]]:
    """Objects on the grid of one examination: outline, values of the heat map, drawing, mark of the key slice."""
    from gastromap.dicom_output.key_object import build_key_object
    from gastromap.dicom_output.parametric_map import build_parametric_map
    from gastromap.dicom_output.presentation_state import build_presentation_state
    from gastromap.dicom_output.segmentation import build_segmentation

    objects: dict[str, Dataset] = {}
    # An outline that came with the study is there already.
    if tumour is not None and tumour.origin == "auto":
        objects["seg"] = build_segmentation(tumour, volume, context)
    if grad_cam is not None:
        objects["cam"] = build_parametric_map(grad_cam, volume, context)
    if tumour is not None and key is not None and tumour.mask[key.index].any():
        objects["gsps"] = build_presentation_state(tumour, key, volume, context)
    if key is not None:
        objects["kos"] = build_key_object(key, volume, context)
    return {name: (item, context) for name, item in objects.items()}


def _pictures_after(compared: ComparisonPictures | None) -> list[WrittenFile]:
    if compared is None:
        return []
    files = [WrittenFile("key_slice_after.png", as_png(compared.after))]
    if compared.overlay is not None:
        files.append(WrittenFile("grad_cam_after.png", as_png(compared.overlay)))
    return files


def build_files(result: StudyResult, *, language: Language = "en") -> BuiltFiles:
    """Make every file of a result.

    Parameters
    ----------
    result : StudyResult
        Checked before. With a comparison, the structured report and the PDF are filed in the study of the follow-up,
        and pictures in the study of their pixels.
    language : {"en", "zh"}
        Of the PDF, and shown first by the page.
    """
    from gastromap.dicom_output.encapsulated_pdf import build_encapsulated_pdf
    from gastromap.dicom_output.structured_report import Outlines, build_structured_report
    from gastromap.reports.comparison_pictures import draw_comparison
    from gastromap.reports.content import report_content
    from gastromap.reports.html import render_html
    from gastromap.reports.pdf import render_pdf
    from gastromap.reports.phrases import stage_label
    from gastromap.reports.pictures import draw_neighbours, draw_pictures
    from gastromap.reports.shown_slice import shown_index
    from gastromap.reports.viewer_data import viewers_of

    context, comparison = object_context(result), result.comparison
    key = result.volume.sources[result.key_slice.index]
    pictures = draw_pictures(result, class_label=stage_label(result.volume.role, result.grad_cam.stage))
    compared = draw_comparison(result)
    key_png, overlay_png = pictures.png("key_slice"), pictures.png("grad_cam")
    content = report_content(result)
    neighbours = draw_neighbours(result)
    pdf = render_pdf(content, pictures, compared, neighbours=neighbours, language=language)
    filed = context
    about: tuple[SliceSource, ...] = (key,)
    captures = _captures(
        pictures.key_slice,
        result.grad_cam,
        context,
        key,
        orientation=pictures.orientation,
        volume=result.volume,
    )
    captures = _on_pixels(result.volume, result.key_slice, result.tumour, result.grad_cam, context) | captures
    if comparison is not None and compared is not None:
        filed = object_context(result, after_treatment=True)
        shown = comparison.followup.volume.sources[shown_index(comparison.followup)]
        about = (shown, key)
        followup = comparison.followup
        after = _on_pixels(followup.volume, followup.key_slice, followup.tumour, comparison.grad_cam, filed)
        after |= _captures(
            compared.after,
            comparison.grad_cam,
            filed,
            shown,
            orientation=compared.orientation,
            volume=comparison.followup.volume,
        )
        captures |= {f"{name}_after": item for name, item in after.items()}
    outlines = Outlines(*(captures[name][0] if name in captures else None for name in ("seg", "seg_after")))
    objects = {
        REPORT_OBJECT: (build_structured_report(result, filed, outlines), filed),
        **{f"{DICOM}/{name}.dcm": item for name, item in captures.items()},
        f"{DICOM}/report.dcm": (build_encapsulated_pdf(pdf, filed, sources=about), filed),
    }
    page = render_html(
        content,
        key_slice_png=key_png,
        grad_cam_png=overlay_png,
        compared=compared,
        neighbours=neighbours,
        viewers=viewers_of(result),
        language=language,
    )
    files = [
        WrittenFile("report.html", page),
        WrittenFile("report.pdf", pdf),
        WrittenFile("key_slice.png", key_png),
        WrittenFile("grad_cam.png", overlay_png),
        *_pictures_after(compared),
        *(WrittenFile(name, _as_file(item), str(item.SOPInstanceUID)) for name, (item, _) in objects.items()),
    ]
    files.append(WrittenFile(METADATA, encode_metadata(result_as_json(result))))
    files.append(WrittenFile(RESULT, encode_json(result, files=tuple(files))))
    return BuiltFiles(tuple(files), objects)
