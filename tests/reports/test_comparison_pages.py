"""What the radiologist reads of two examinations, on the HTML page and on the second PDF page."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace

import pytest
from builders.study_result import (
    OUTLOOK_NOTICE,
    make_outcome,
    make_outlook,
    make_pair_result,
    make_study_result,
    make_tumour,
    make_volume,
)

from gastromap.reports.comparison_content import comparison_content, finding_after
from gastromap.reports.comparison_pictures import draw_comparison
from gastromap.reports.content import report_content
from gastromap.reports.html import render_html
from gastromap.reports.pdf import render_pdf
from gastromap.reports.pictures import draw_pictures
from gastromap.results import StudyResult
from reports.test_report_pages import english_words


def page(result: StudyResult) -> str:
    made = render_html(
        report_content(result), key_slice_png=b"\x89PNG", grad_cam_png=b"\x89PNG", compared=draw_comparison(result)
    )
    return made.decode()


def html_text(result: StudyResult) -> str:
    return english_words(page(result))


def pdf_pages(result: StudyResult, folder) -> list[str]:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (poppler-utils)")
    path = folder / "report.pdf"
    pictures = draw_pictures(result, class_label="cT3")
    path.write_bytes(render_pdf(report_content(result), pictures, draw_comparison(result)))
    done = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True, timeout=60)
    return [" ".join(part.split()) for part in done.stdout.split("\f")[:-1]]


@pytest.fixture(params=["html", "pdf"])
def read(request, tmp_path):
    if request.param == "html":
        return html_text
    return lambda result: " ".join(pdf_pages(result, tmp_path))


class TestAfterTreatment:
    def test_dates_sizes_stage_and_outlook_are_there(self, read):
        text = read(make_pair_result())
        for part in (
            *("2024-03-05", "2024-06-20", "107 days later", "A-77 and A-91"),
            *("38.2 ml", "14.0 ml", "52.4 mm", "33.1 mm", "14.6 mm", "9.2 mm"),
            *("ycT2", "ycT1–ycT2 at 90 %", "All 3 slices vote for ycT2", "ycT1 25 %"),
            *("72 %", "60 %", "+12 points", "62 %", "48.4 months"),
            "Expected survival within the first 80 months: 48.4 months",
            "high, above the median of the training patients",
            OUTLOOK_NOTICE,
            "Where the model looked, not proof",
            "spread 64 %",
            "explanation of class ycT2, not a lesion outline",
        ):
            assert part in text, part
        assert re.search("[−–]63 %", text)
        assert re.search("[−–]6.2 months", text)

    def test_the_stage_before_treatment_comes_first_and_large(self, read):
        text = read(make_pair_result())
        assert text.index("cT3") < text.index("ycT2")

    def test_reasons_of_an_uncertain_stage_are_there(self, read):
        reasons = ("The slices disagree: 1 of 3 vote for T2.",)
        text = read(make_pair_result(stage_after={"staged": False, "reasons": reasons, "votes": 1}))
        assert "Not confidently staged" in text
        assert reasons[0] in text
        assert "1 of 3 slices vote for ycT2" in text

    def test_no_tumour_found_is_said_so_and_is_no_response(self, read):
        text = read(make_pair_result(tumour_after=False))
        assert "No tumour found after treatment (the segmentation model found none)." in text
        assert "does not prove" in text
        assert "none found" in text
        assert "response" not in text.lower()
        assert "100 %" not in text.split("Change")[1].split("nobody")[0]
        assert "placed by the stomach" in text
        assert "ycT" not in text

    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            ("no tumour found", "No tumour found after treatment. That does not prove that none is left."),
            ("no stomach found", "No tumour found after treatment (no stomach found). That does not prove"),
            ("", "No tumour found after treatment. That does not prove"),
        ],
    )
    def test_the_reason_is_given_once(self, reason, words):
        followup = make_pair_result(tumour_after=False).comparison.followup
        assert finding_after(replace(followup, no_tumour=reason)).startswith(words)

    def test_a_size_that_nobody_took_is_not_called_absent(self, read):
        result = make_pair_result(comparison={"changes": ()})
        followup = replace(
            result.comparison.followup, tumour=None, no_tumour="no segmentation model is installed", searched=False
        )
        text = read(replace(result, comparison=replace(result.comparison, followup=followup)))
        assert "not known (no segmentation model is installed)" in text
        assert "No tumour found" not in text

    def test_a_missing_outlook_says_why(self, read):
        text = read(make_pair_result(outlook=False))
        assert "No longitudinal model was given." in text
        assert "Expected survival" not in text

    def test_warnings_of_the_later_study_are_there(self, read):
        assert "compressed with loss" in read(make_pair_result(stage_after={"warnings": ("LOSSY",)}))

    @pytest.mark.parametrize(
        ("group", "words"),
        [("high", "high, above the median"), ("low", "low, not above the median"), (None, "Risk group: not known")],
    )
    def test_the_risk_group_is_in_words(self, read, group, words):
        outlook = make_outlook(pair=replace(make_outcome(), risk_group=group))
        assert words in read(make_pair_result(comparison={"outlook": outlook}))

    def test_chinese_names_survive(self, read):
        text = read(make_pair_result(PatientName="Wang^XiaoDong=王^小东"))
        assert "WangXiaoDong(王小东)" in text.replace(" ", "")

    def test_no_word_of_the_later_study_is_a_plain_ct(self):
        for options in ({}, {"tumour_after": False}, {"stage_after": {"staged": False}}):
            words = repr(asdict(comparison_content(make_pair_result(**options))))
            assert re.search(r"(?<!y)cT\d", words) is None


class TestTumourSizeOfOneStudy:
    @pytest.mark.parametrize(
        ("origin", "words"),
        [("seg", "Measured in a DICOM segmentation"), ("auto", "segmentation model, checked by nobody")],
    )
    def test_a_card_shows_the_size_and_where_it_was_measured(self, read, origin, words):
        volume = make_volume()
        text = read(replace(make_study_result(volume=volume), tumour=make_tumour(volume, origin=origin)))
        for part in ("Tumour size", "52.4 mm", "38.2 ml", "14.6 mm", words):
            assert part in text
        assert ("not calibrated" in text) == (origin == "auto")
        assert "After treatment" not in text

    def test_a_measured_size_in_the_nomogram_is_not_cut_off(self, read):
        result = make_study_result()
        rows = list(result.nomogram.contributions)
        rows[1] = replace(rows[1], value="4.2 cm (< 5 cm), measured in the automatic mask")
        text = read(replace(result, nomogram=replace(result.nomogram, contributions=tuple(rows))))
        assert "…" not in text.split("Lauren")[0].split("Predictor")[1]
        assert "automatic mask" in text


class TestPdf:
    def test_one_study_is_two_pages_and_a_pair_has_one_between_them(self, tmp_path):
        assert len(pdf_pages(make_study_result(), tmp_path)) == 2
        pages = pdf_pages(make_pair_result(), tmp_path)
        assert len(pages) == 3
        assert "After treatment" not in pages[0]
        assert "After treatment" in pages[1]
        assert "Series: which and why" in pages[2]
        for text in pages:
            assert text.startswith("Research use, not for diagnosis")
            assert text.count("Research use, not for diagnosis") == 2

    def test_far_too_much_text_stays_on_its_pages(self, tmp_path):
        outlook = make_outlook()
        outlook = replace(outlook, model=replace(outlook.model, notice=OUTLOOK_NOTICE * 20))
        result = make_pair_result(
            comparison={"outlook": outlook},
            notice="A long notice. " * 40,
            stage_after={"staged": False, "reasons": ("A long reason. " * 30,), "warnings": ("LOSSY", "NO_AIR")},
        )
        assert len(pdf_pages(result, tmp_path)) == 3


class TestPage:
    def test_the_curve_goes_through_the_survival_of_the_model(self):
        whole = page(make_pair_result())
        picture = ET.fromstring(re.search(r"<svg.*?</svg>", whole, re.S).group())
        dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in picture.iter("circle")]
        grid = sorted({float(line.get("y1")) for line in picture.iter("line") if line.get("y1") == line.get("y2")})
        ticks = [float(line.get("x1")) for line in picture.iter("line") if line.get("x1") == line.get("x2")]
        full, none = grid[0], grid[-1]
        month = (ticks[1] - ticks[0]) / 12
        survival = [1.0, 0.9, 0.75, 0.62, 0.5, 0.41]
        for (x, y), share, time in zip(dots, survival, range(0, 72, 12), strict=True):
            assert (none - y) / (none - full) == pytest.approx(share, abs=0.002)
            assert (x - ticks[0]) / month == pytest.approx(time, abs=0.05)

    def test_the_curve_is_told_to_those_who_do_not_see_it(self):
        picture = ET.fromstring(re.search(r"<svg.*?</svg>", page(make_pair_result()), re.S).group())
        assert picture.get("role") == "img"
        named = {element.get("id") for element in picture if element.tag in ("title", "desc")}
        assert set(picture.get("aria-labelledby").split()) == named
        assert "62 % at 36 months" in picture.find("desc").text

    def test_it_loads_nothing_runs_nothing_foreign_and_closes_every_tag(self):
        whole = page(make_pair_result())
        assert len(re.findall("<script>", whole)) == 1
        assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', whole))
        body = whole[whole.index("<body>") :]
        void = {"img", "meta", "br", "hr", "line", "circle", "polyline"}
        for tag in set(re.findall(r"<([a-z0-9]+)", body)) - void:
            assert len(re.findall(rf"<{tag}[ >]", body)) == body.count(f"</{tag}>"), tag
        assert re.findall(r"<img(?![^>]*alt=\"[^\"]+)", body) == []

    def test_markup_in_the_words_of_a_model_is_text(self):
        outlook = make_outlook()
        outlook = replace(outlook, model=replace(outlook.model, notice="<script>alert(1)</script>"))
        assert "<script>alert" not in page(make_pair_result(comparison={"outlook": outlook}))
