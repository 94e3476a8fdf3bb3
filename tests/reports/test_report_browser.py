"""The HTML report in headless Chromium: sliders, numbers, languages, accessibility, and nothing from outside."""

from __future__ import annotations

import base64
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders.study_result import make_pair_result, make_study_result
from PIL import Image

from gastromap.nomogram import NomogramModel, apply
from gastromap.output_files import build_files
from gastromap.reports import drawing, html
from gastromap.reports.drawing import plan_display, turn
from gastromap.results import ClinicalVariables, NomogramOmitted

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements.txt)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (Debian package chromium)", allow_module_level=True)

CLINICAL = ClinicalVariables(5.2, "poor", "diffuse")
MODEL = NomogramModel.published()
#: Letters and scale bar lie nearer to the edges.
INSIDE = (slice(90, -90), slice(90, -90))


def write_page(folder, result, language="en"):
    path = folder / "report.html"
    files = build_files(result, language=language).files
    path.write_bytes(next(file.content for file in files if file.name == "report.html"))
    return path


@pytest.fixture(scope="module")
def result():
    """A prone patient in voxels that are not square, in whole Hounsfield units."""
    shape = {"shape": (150, 200), "spacing": (0.9, 0.7), "orientation": (-1, 0, 0, 0, -1, 0)}
    made = make_study_result(nomogram=apply(MODEL, rad_score=0.8432, clinical=CLINICAL), **shape)
    return replace(made, volume=replace(made.volume, hu=np.rint(made.volume.hu)))


@pytest.fixture(scope="module")
def pages(result, tmp_path_factory):
    pair = make_pair_result(
        nomogram=NomogramOmitted(("lauren",), "No nomogram."), staged=False, reasons=("A reason.",), warnings=("LOSSY",)
    )
    return {
        "study": write_page(tmp_path_factory.mktemp("study"), result),
        "pair": write_page(tmp_path_factory.mktemp("pair"), pair, "zh"),
    }


@pytest.fixture(scope="module")
def browser():
    # Chromium's sandbox refuses to run as root, which a container usually is.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


class Opened:
    """A page with everything that it said and asked for."""

    def __init__(self, browser, path, **options):
        self.page = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("[data-viewer]:not(.viewer-ready)", state="detached")

    def pixels(self, viewer="viewer"):
        url = self.page.evaluate(f"document.getElementById('{viewer}-canvas').toDataURL('image/png')")
        image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
        return np.asarray(image, dtype=int)

    def put(self, name, value):
        self.page.evaluate(
            "([name, value]) => { const input = document.getElementById(name); input.value = value;"
            " input.dispatchEvent(new Event('input', {bubbles: true})); }",
            [name, str(value)],
        )

    def text(self, selector):
        return self.page.locator(selector).first.evaluate("e => e instanceof SVGElement ? e.textContent : e.innerText")


@pytest.fixture(scope="module")
def study(browser, pages):
    opened = Opened(browser, pages["study"])
    yield opened
    assert opened.said == []


@pytest.fixture
def viewer(study):
    for name, value in (("slice", 2), ("heat", 62), ("level", 50), ("width", 350)):
        study.put(f"viewer-{name}", value)
    return study


def grey(result, index, *, level, width):
    """What the library draws of a slice: :func:`gastromap.reports.drawing.windowed` with another window."""
    hu = turn(result.volume.hu[index], plan_display(result.volume))
    return np.rint(np.clip((hu - (level - width / 2)) / width, 0, 1) * 255)


class TestViewer:
    @pytest.mark.parametrize(("level", "width"), [(50, 350), (40, 400), (60, 160), (20, 800), (-300, 1500)])
    def test_every_pixel_is_windowed_as_the_static_picture_is(self, viewer, result, level, width):
        for name, value in (("heat", 0), ("level", level), ("width", width)):
            viewer.put(f"viewer-{name}", value)
        expected = grey(result, result.key_slice.index, level=level, width=width)
        shown = viewer.pixels()[: expected.shape[0], : expected.shape[1]]
        # The air around the patient is not sent; one grey level: sums of weights are rounded in another order.
        patient = turn(result.volume.hu[result.key_slice.index], plan_display(result.volume)) > -900
        assert np.abs(shown - expected[..., None])[INSIDE][patient[INSIDE]].max() <= 1
        if (level, width) == (50, 350):
            static = drawing.draw_slice(result.volume, result.key_slice.index, ("", ""))[: expected.shape[0]]
            assert np.abs(shown[INSIDE] - static[INSIDE]).max() <= 1

    def test_the_heat_map_is_that_of_the_static_picture(self, viewer, result):
        index = result.key_slice.index
        static = drawing.draw_slice(result.volume, index, ("", ""), heat=result.grad_cam.heatmap).astype(int)
        rows, columns = plan_display(result.volume).size[::-1]
        shown = viewer.pixels()[:rows, :columns]
        # The heat map travels in 255 steps.
        assert np.abs(shown[INSIDE] - static[:rows, :columns][INSIDE]).max() <= 2
        assert np.ptp(shown[INSIDE], axis=-1).max() > 100

    def test_opacity_changes_colour_and_nothing_but_colour(self, viewer):
        strong = viewer.pixels()
        viewer.put("viewer-heat", 20)
        weak = viewer.pixels()
        viewer.put("viewer-heat", 0)
        none = viewer.pixels()
        colour = [np.ptp(p[INSIDE], axis=-1).max() for p in (strong, weak, none)]
        assert colour[0] > colour[1] > colour[2] == 0
        cold = np.ptp(strong[INSIDE], axis=-1) == 0
        assert np.abs(strong - none)[INSIDE][cold].max() <= 1

    def test_slices_go_by_keyboard_and_keep_the_heat_map_where_it_belongs(self, viewer, result):
        viewer.page.focus("#viewer-slice")
        viewer.page.keyboard.press("ArrowRight")
        # The slices of this patient are stored from the head downwards.
        index = result.volume.index_from_feet(result.key_slice.index_from_feet + 1)
        expected = grey(result, index, level=50, width=350)
        shown = viewer.pixels()[: expected.shape[0], : expected.shape[1]]
        assert np.abs(shown[INSIDE] - expected[INSIDE][..., None]).max() <= 1
        status = viewer.text("#viewer-status")
        assert "5.0 mm above the key slice" in status
        assert "heat map on the key slice only" in status
        assert viewer.page.is_disabled("#viewer-heat")
        viewer.page.keyboard.press("Home")
        assert "10.0 mm below the key slice" in viewer.text("#viewer-status")
        assert viewer.page.get_attribute("#viewer-slice", "aria-valuetext").startswith("Slice")

    def test_a_preset_sets_both_sliders(self, viewer):
        viewer.page.click("text=Abdomen")
        assert viewer.page.input_value("#viewer-level") == "40"
        assert viewer.page.input_value("#viewer-width") == "400"
        assert viewer.page.get_attribute("[data-preset]:nth-child(2)", "aria-pressed") == "true"
        assert "window 40/400 HU" in viewer.text("#viewer-status")

    def test_the_pointer_reads_hounsfield_units(self, viewer, result):
        plan = plan_display(result.volume)
        hu = turn(result.volume.hu[result.key_slice.index], plan)
        box = viewer.page.locator("#viewer-canvas").bounding_box()
        scale = viewer.page.evaluate("document.getElementById('viewer-canvas').width") / box["width"]
        x, y = plan.size[0] // 2, plan.size[1] // 3
        viewer.page.mouse.move(box["x"] + (x + 0.5) / scale, box["y"] + (y + 0.5) / scale)
        said = viewer.text("#viewer-hu").removesuffix(" HU").replace("−", "-")
        # The browser rounds the place of the pointer.
        assert hu[y - 1 : y + 2, x - 1 : x + 2].min() - 1 <= int(said) <= hu[y - 1 : y + 2, x - 1 : x + 2].max() + 1

    def test_changed_pixels_leave_the_static_pictures(self, browser, pages, tmp_path):
        path = tmp_path / "report.html"
        path.write_text(pages["study"].read_text().replace('"sum":', '"sum":1'))
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector(".viewer-failed", state="attached")
        assert page.is_visible(".static img")
        assert not page.is_visible("#viewer-canvas")
        page.close()


SIZES = {"< 5 cm": 3.0, "≥ 5 cm": 5.2}


class TestTwoViewers:
    @pytest.fixture(scope="class")
    def pair(self, browser, tmp_path_factory):
        result = make_pair_result(shape=(150, 200), spacing=(0.9, 0.7))
        opened = Opened(browser, write_page(tmp_path_factory.mktemp("two"), result))
        yield result, opened
        assert opened.said == []

    def test_the_second_shows_the_ct_after_treatment_as_its_static_picture_does(self, pair):
        result, opened = pair
        after = result.comparison.followup
        index, heat = after.key_slice.index, result.comparison.grad_cam.heatmap
        static = drawing.draw_slice(after.volume, index, ("", ""), heat=heat).astype(int)
        rows, columns = plan_display(after.volume).size[::-1]
        assert np.abs(opened.pixels("after")[:rows, :columns][INSIDE] - static[:rows, :columns][INSIDE]).max() <= 2

    def test_each_has_sliders_of_its_own(self, pair):
        _, opened = pair
        first, second = opened.pixels(), opened.pixels("after")
        opened.put("after-level", -100)
        opened.put("after-heat", 0)
        assert (opened.pixels() == first).all()
        assert (opened.pixels("after") != second).any()
        opened.page.click("[data-viewer=after] >> text=Abdomen")
        assert opened.page.input_value("#after-level") == "40"
        assert opened.page.input_value("#viewer-level") == "50"

    def test_without_a_script_there_is_no_empty_section(self, browser, tmp_path):
        opened = Opened(browser, write_page(tmp_path, make_pair_result()), java_script_enabled=False)
        assert not opened.page.is_visible("[data-viewer=after]")
        assert opened.page.is_visible(".overlay img")
        opened.page.close()

    def test_a_follow_up_without_a_tumour_has_none(self, browser, tmp_path):
        opened = Opened(browser, write_page(tmp_path, make_pair_result(tumour_after=False)))
        assert opened.page.locator("[data-viewer]").count() == 1
        opened.page.close()


def shown_percent(share):
    """One digit; 0 % and 100 % only where they are exact."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 < share < 1 else f"{share * 100:.1f} %"


class TestNomogram:
    @pytest.mark.parametrize(
        ("score", "size", "differentiation", "lauren"),
        [
            (-3.0, "< 5 cm", "well", "intestinal"),
            (-2.25, "≥ 5 cm", "well", "mixed"),
            (-0.51, "< 5 cm", "moderate", "diffuse"),
            (0.0, "≥ 5 cm", "poor", "intestinal"),
            (1.37, "< 5 cm", "poor", "mixed"),
            (3.0, "≥ 5 cm", "poor", "diffuse"),
        ],
    )
    def test_every_printed_number_is_the_librarys(self, study, score, size, differentiation, lauren):
        study.put("nomogram-rad_score", score)
        for name, level in (("size", size), ("differentiation", differentiation), ("lauren", lauren)):
            study.page.check(f"label:has-text('{level}') input[name=nomogram-{name}]", force=True)
        expected = apply(MODEL, rad_score=score, clinical=ClinicalVariables(SIZES[size], differentiation, lauren))
        rows = zip(("rad_score", "size", "differentiation", "lauren"), expected.contributions, strict=True)
        for name, row in rows:
            assert study.text(f"[data-axis={name}] .points") == f"{row.points:.0f}"
        assert study.text("#nomogram-total") == f"{expected.total_points:.0f}"
        for stage, share in expected.probabilities.items():
            assert study.text(f"[data-stage={stage}] .value") == shown_percent(share)
        likeliest = study.page.get_attribute("#nomogram-panel .likeliest", "data-stage")
        assert likeliest == expected.stage
        assert study.page.is_visible("#nomogram-other")

    def test_the_marks_stand_at_the_points(self, study):
        study.put("nomogram-rad_score", 0.0)
        x = float(study.page.get_attribute("[data-axis=rad_score] .dot", "cx"))
        assert x == pytest.approx((12 + 392) / 2)
        total = study.page.get_attribute("[data-axis=total] .dot", "cx")
        for name in ("T2", "T3", "T4"):
            assert study.page.get_attribute(f"[data-axis={name}] .dot", "cx") == total
        assert study.page.get_attribute(".reading", "x1") == total

    def test_back_to_this_patient(self, study):
        study.put("nomogram-rad_score", -1)
        study.page.click("#nomogram-reset")
        expected = apply(MODEL, rad_score=0.8432, clinical=CLINICAL)
        assert study.text("#nomogram-total") == f"{expected.total_points:.0f}"
        assert study.text("[data-stage=T4] .value") == shown_percent(expected.probabilities["T4"])
        assert study.page.is_visible("#nomogram-patient")
        assert not study.page.is_visible("#nomogram-other")
        assert study.page.get_attribute("[data-axis=size] .dot", "cx") == study.page.get_attribute(
            "[data-axis=size] .ring", "cx"
        )

    def test_without_a_nomogram_there_is_the_reason_and_no_slider(self, browser, pages):
        opened = Opened(browser, pages["pair"])
        assert opened.page.locator("#nomogram-panel").count() == 0
        assert "缺失：Lauren 分型" in opened.text("main")
        opened.page.close()


class TestLanguage:
    def test_the_switch_changes_every_text_and_is_not_remembered(self, browser, pages):
        opened = Opened(browser, pages["study"])
        page = opened.page
        before = opened.pixels()
        page.focus("button[data-language=zh]")
        page.keyboard.press("Enter")
        assert page.get_attribute("html", "lang") == "zh"
        assert "仅供研究使用，不用于诊断" in page.title()
        words = opened.text("main")
        for part in ("列线图", "预测集", "门静脉期", "关键层面", "不是病灶轮廓", "分期置信度充分"):
            assert part in words
        for part in ("Prediction set", "portal-venous", "Nomogram", "Warnings"):
            assert part not in words
        assert page.get_attribute(".static img >> nth=0", "alt") == "关键层面，即网络读取的层面"
        assert "关键层面" in page.get_attribute("#viewer-canvas", "aria-label")
        assert (opened.pixels() != before).any(), "the line on the picture changes too"
        page.reload()
        assert page.get_attribute("html", "lang") == "en"
        assert "Prediction set" in opened.text("main")
        page.close()
        assert opened.said == []

    def test_a_chinese_report_begins_in_chinese(self, browser, pages):
        opened = Opened(browser, pages["pair"])
        assert opened.page.get_attribute("html", "lang") == "zh"
        assert "治疗后" in opened.text("main")
        # Words of a model that nobody has translated are marked as what they are.
        assert opened.page.locator("[lang=en]:has-text('SYNTHETIC')").count() > 0
        opened.page.click("button[data-language=en]")
        assert "After treatment" in opened.text("main")
        opened.page.close()


def test_the_scripts_leave_no_name_behind(study, browser, tmp_path):
    blank = browser.new_page()
    (tmp_path / "blank.html").touch()
    blank.goto((tmp_path / "blank.html").as_uri())
    names = "Object.getOwnPropertyNames(window)"
    assert set(study.page.evaluate(names)) - set(blank.evaluate(names)) == set()
    blank.close()
    for name in ("viewer.js", "nomogram.js", "language.js"):
        assert '"use strict";' in (Path(html.__file__).parent / name).read_text()


@pytest.mark.parametrize("which", ["study", "pair"])
class TestPage:
    def test_nothing_comes_from_outside_and_nothing_is_wrong(self, browser, pages, which):
        opened = Opened(browser, pages[which])
        for language in ("zh", "en"):
            opened.page.click(f"button[data-language={language}]")
            for width in (1280, 390):
                opened.page.set_viewport_size({"width": width, "height": 800})
                assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.said == []
        own = pages[which].as_uri()
        assert [url for url in opened.asked if url != own and not url.startswith("data:")] == []
        opened.page.close()

    def test_axe_finds_no_serious_problem(self, browser, pages, which):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
        opened = Opened(browser, pages[which])
        for scheme in ("light", "dark"):
            opened.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for language in ("en", "zh"):
                opened.page.click(f"button[data-language={language}]")
                found = axe.run(opened.page).response["violations"]
                serious = [
                    (problem["id"], node["html"][:200], node["failureSummary"][:300])
                    for problem in found
                    if problem["impact"] in ("serious", "critical")
                    for node in problem["nodes"]
                ]
                assert serious == [], (scheme, language)
        opened.page.close()

    def test_on_paper_there_are_the_static_pictures(self, browser, pages, which):
        opened = Opened(browser, pages[which])
        assert not opened.page.is_visible(".static img >> nth=0")
        opened.page.emulate_media(media="print")
        assert opened.page.is_visible(".static img >> nth=0")
        assert opened.page.is_visible(".tiles img >> nth=0")
        for hidden in ("#viewer-canvas", ".switch", "#nomogram-panel"):
            assert not opened.page.is_visible(hidden)
        opened.page.close()

    def test_without_the_script_the_report_is_whole(self, browser, pages, which):
        opened = Opened(browser, pages[which], java_script_enabled=False)
        assert opened.page.is_visible(".static img >> nth=0")
        for hidden in ("#viewer-canvas", ".switch", "#nomogram-panel"):
            assert not opened.page.is_visible(hidden)
        assert opened.said == []
        opened.page.close()
