"""What the radiologist reads, on the HTML page and on the PDF page."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from builders.study_result import NOTICE, make_study_result

from gastromap.nomogram import NomogramModel, apply
from gastromap.reports.content import report_content
from gastromap.reports.html import render_html
from gastromap.reports.pdf import render_pdf
from gastromap.reports.pictures import draw_neighbours, draw_pictures
from gastromap.reports.probabilities import set_in_words
from gastromap.results import ClinicalVariables, NomogramOmitted, StudyResult

OMITTED = NomogramOmitted(("tumour_size_cm", "lauren"), "The nomogram needs all of its predictors.")


def english_words(page: str) -> str:
    """What a reader of English sees, without scripts and data."""
    body = page[page.index("<body>") :]
    body = re.sub(r"<script.*?</script>", "", body, flags=re.S)
    body = re.sub(r'<(t?span) class="t" lang="zh">.*?</\1>', "", body, flags=re.S)
    # A word that stands in a span of its own is not parted from the sign that follows it.
    body = re.sub(r"</?t?span[^>]*>", "", body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def html_text(result: StudyResult) -> str:
    page = render_html(report_content(result), key_slice_png=b"\x89PNG", grad_cam_png=b"\x89PNG").decode()
    return english_words(page)


def pdf_text(result: StudyResult, folder) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (poppler-utils)")
    path = folder / "report.pdf"
    path.write_bytes(render_pdf(report_content(result), draw_pictures(result, class_label="cT3")))
    done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.count("\f") == 2, "two pages"
    return " ".join(done.stdout.replace("\f", " ").split())


@pytest.fixture(params=["html", "pdf"])
def read(request, tmp_path):
    return html_text if request.param == "html" else lambda result: pdf_text(result, tmp_path)


class TestTenSeconds:
    def test_stage_certainty_and_all_four_probabilities_are_there(self, read):
        text = read(make_study_result())
        for part in ("cT3", "Confidently staged", "T2–T3 at 90 %", "3 %", "21 %", "63 %", "13 %", "All 3 slices vote"):
            assert part in text
        assert "Not confidently staged" not in text

    def test_an_uncertain_stage_says_so_and_why(self, read):
        text = read(make_study_result(staged=False, votes=2, reasons=("The slices disagree: 2 of 3 vote for T3.",)))
        assert "Not confidently staged" in text
        assert "The slices disagree: 2 of 3 vote for T3." in text
        assert "2 of 3 slices vote for cT3" in text

    @pytest.mark.parametrize(
        ("method", "layer", "caption"),
        [
            ("HiResCAM", "layer2", "HiResCAM (element-wise Grad-CAM), second residual stage"),
            ("Grad-CAM", "layer4", "Grad-CAM, fourth residual stage"),
        ],
    )
    def test_the_caption_of_the_heat_map_names_method_and_layer(self, read, method, layer, caption):
        result = make_study_result()
        text = read(replace(result, grad_cam=replace(result.grad_cam, method=method, layer=layer)))
        assert caption in text
        assert "explanation of class cT3, not a lesion outline" in text

    def test_the_training_notice_is_printed(self, read):
        assert NOTICE in read(make_study_result())

    def test_the_research_notice_is_at_both_ends(self, read):
        text = read(make_study_result())
        assert text.startswith("Research use, not for diagnosis")
        assert text.rstrip(".").endswith("Research use, not for diagnosis")
        assert "not a lesion outline" in text

    def test_a_follow_up_stage_carries_yc(self, read):
        assert "ycT3" in read(make_study_result(role="followup"))


class TestWhy:
    def test_the_nomogram_shows_its_source_values_and_points(self, read):
        text = read(make_study_result())
        for part in ("Nomogram (published): cT3", "10.1038/s41746-025-02002-5", "+1.15", "poor", "33", "108"):
            assert part in text

    def test_a_missing_nomogram_names_the_missing_variables(self, read):
        text = read(make_study_result(nomogram=OMITTED))
        assert "Nomogram: not computed" in text
        assert "Missing: tumour size and Lauren type." in text

    def test_key_slice_phase_model_run_and_warnings_are_there(self, read):
        text = read(make_study_result(warnings=("PHASE_ONE_SOURCE", "NEW_CODE")))
        for part in (
            *("5 from the feet", "275.0 mm", "segmentation", "portal-venous", "GTRNet-18", "20240306-101112-7f3a"),
            *("backed by one source", "NEW_CODE", "monai 1.6.1", "dfdfdfdf"),
        ):
            assert part in text


class TestPatient:
    @pytest.mark.parametrize(
        ("charset", "name", "shown"),
        [
            ("ISO_IR 192", "Wang^XiaoDong=王^小东", "Wang XiaoDong (王 小东)"),
            ("GB18030", "王^小东", "王 小东"),
            ("ISO_IR 100", "Müller^Jörg^^Dr.", "Müller Jörg Dr."),
        ],
    )
    def test_names_are_readable(self, read, charset, name, shown):
        text = read(make_study_result(SpecificCharacterSet=charset, PatientName=name))
        # Poppler puts no blank between CJK glyphs that are set without one in the font.
        assert shown.replace(" ", "") in text.replace(" ", "")

    def test_a_name_of_undeclared_bytes_is_not_shown_as_gibberish(self, read):
        name = "王^小东".encode("gb18030").decode("latin-1")
        text = read(make_study_result(SpecificCharacterSet=None, PatientName=name))
        assert "not readable" in text

    def test_missing_tags_are_a_dash(self, read):
        gone = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber")
        text = read(make_study_result(**dict.fromkeys(gone)))
        assert "Patient ID –" in text

    def test_markup_in_a_name_is_text(self):
        page = render_html(
            report_content(make_study_result(PatientName="<script>alert(1)</script>")),
            key_slice_png=b"",
            grad_cam_png=b"",
        )
        assert b"<script>alert" not in page
        assert b"&lt;script&gt;alert" in page


class TestSelfContained:
    def test_the_page_loads_nothing_and_closes_every_tag(self):
        page = render_html(report_content(make_study_result()), key_slice_png=b"a", grad_cam_png=b"b").decode()
        open_tags: list[str] = []
        sources: list[str] = []

        class Reader(HTMLParser):
            def handle_starttag(self, tag, attrs):
                sources.extend(value for name, value in attrs if name in ("src", "href"))
                if tag not in ("meta", "img", "link", "br"):
                    open_tags.append(tag)

            def handle_endtag(self, tag):
                assert open_tags.pop() == tag

        Reader().feed(page)
        assert open_tags == []
        assert len(sources) == 2
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        assert "http" not in page.replace("http-equiv", "")


class TestChinesePdf:
    def test_every_page_is_in_chinese(self, tmp_path):
        if shutil.which("pdftotext") is None:
            pytest.skip("pdftotext is not installed (poppler-utils)")
        result = make_study_result(
            nomogram=apply(
                NomogramModel.published(), rad_score=0.84, clinical=ClinicalVariables(5.2, "poor", "diffuse")
            )
        )
        path = tmp_path / "report.pdf"
        pictures = draw_pictures(result, class_label="cT3")
        neighbours = draw_neighbours(result)
        path.write_bytes(render_pdf(report_content(result), pictures, neighbours=neighbours, language="zh"))
        done = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True, timeout=60)
        first, second = ("".join(text.split()) for text in done.stdout.split("\f")[:2])
        for text in (first, second):
            assert text.count("仅供研究使用，不用于诊断") >= 2
            assert "Researchuse" not in text
        for part in ("分期置信度充分", "预测集：T2–T3（覆盖率90%）", "门静脉期", "关键层面"):
            assert part in first
        for part in ("列线图", "弥漫型", "关键层面上方5.0mm", "未能提供的内容", "本软件不评估"):
            assert part in second

    def test_its_characters_look_the_same_everywhere_because_their_font_is_in_it(self, tmp_path):
        if shutil.which("pdffonts") is None:
            pytest.skip("pdffonts is not installed (poppler-utils)")
        result = make_study_result(SpecificCharacterSet="ISO_IR 192", PatientName="王^小东")
        path = tmp_path / "report.pdf"
        path.write_bytes(render_pdf(report_content(result), draw_pictures(result, class_label="cT3"), language="zh"))
        table = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True, timeout=60).stdout
        # Name, type, encoding, embedded, subset, unicode, object and generation.
        fonts = {row.split()[0].split("+")[-1]: row.split()[-5:-2] for row in table.splitlines()[2:]}
        assert fonts.pop("DroidSansFallback") == ["yes", "yes", "yes"]
        assert set(fonts) <= {"Helvetica", "Helvetica-Bold"}
        # Some of the four megabytes of the font, not all.
        assert path.stat().st_size < 1_000_000


class TestLongTexts:
    def test_an_overlong_report_stays_on_its_pages_and_says_what_is_left_out(self, tmp_path):
        result = make_study_result(
            staged=False,
            reasons=tuple(f"Reason {n} with quite a few words to fill the line and then some more." for n in range(4)),
            notice=NOTICE * 4,
            warnings=tuple(f"CODE_{n}" for n in range(40)),
            model_name="A model with a very long name " * 4,
        )
        text = pdf_text(result, tmp_path)
        assert "more, see report.html" in text


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (("T3",), "T3 only at 90 %"),
        (("T2", "T3"), "T2–T3 at 90 %"),
        (("T1", "T2", "T3", "T4"), "T1–T4 at 90 %"),
        (("T1", "T3"), "T1 or T3 at 90 %"),
        (("T1", "T2", "T4"), "T1, T2 or T4 at 90 %"),
        ((), "no stage at 90 %"),
    ],
)
def test_a_prediction_set_in_words(members, words):
    assert set_in_words(members, 0.9) == words
