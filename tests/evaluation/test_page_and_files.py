"""What lies in the results folder: one page without network, tables, figures; all of it or nothing."""

from __future__ import annotations

import base64
import csv
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from gastromap.errors import OutputError
from gastromap.evaluation import writing
from gastromap.evaluation.assemble import EvaluationPlan, evaluate_table
from gastromap.evaluation.endpoint import EndpointColumns
from gastromap.evaluation.page import render_page
from gastromap.evaluation.subgroups import Subgroup
from gastromap.evaluation.table import Columns, read_rows
from gastromap.evaluation.tables import csv_text, slug
from gastromap.evaluation.writing import write_evaluation


@pytest.fixture(scope="module")
def report(cases_file):
    rows = read_rows(cases_file)
    second = [{**row, **{f"prob_T{k}": row[f"second_T{k}"] for k in range(1, 5)}} for row in rows]
    plan = EvaluationPlan(
        columns=Columns(case="case"),
        endpoints=(EndpointColumns("<b>node</b> 淋巴结", "node", "node_score"),),
        readers={name: (f"reader_{name}", f"assisted_{name}") for name in "AB"},
        subgroups=(Subgroup("sex"),),
        resamples=50,
    )
    return evaluate_table(rows, plan, versus=second, title="Centre <3>", created="2026-11-22")


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    write_evaluation(report, out, further={"note.txt": b"x"})
    return out


class TestPage:
    def test_it_loads_nothing_from_elsewhere(self, folder):
        page = (folder / "report.html").read_text()
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
        assert "<script" not in page
        assert "@import" not in page
        assert "url(" not in page
        assert "default-src 'none'" in page

    def test_names_from_the_table_are_escaped_and_kept_in_any_script(self, folder):
        page = (folder / "report.html").read_text()
        assert "<b>node" not in page
        assert "&lt;b&gt;node&lt;/b&gt; 淋巴结" in page
        assert "<title>Centre &lt;3&gt;</title>" in page

    def test_it_shows_the_figures_of_the_report(self, folder, report):
        page = (folder / "report.html").read_text()
        area = report["stages"]["metrics"]["auc"]["macro"]
        for text in (f"{area['value']:.3f}", f"{area['low']:.3f} to {area['high']:.3f}"):
            assert text in page
        over = report["endpoints"][0]["metrics"]["over_treatment"]["value"]
        assert f"{100 * over:.2f} %" in page
        assert "Research use only" in page

    def test_every_figure_is_in_it_as_a_whole_svg(self, folder):
        page = (folder / "report.html").read_text()
        found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
        assert len(found) == len(list((folder / "figures").glob("*.svg")))
        for picture in found:
            assert ElementTree.fromstring(base64.b64decode(picture)).tag.endswith("svg")

    def test_every_link_has_its_section(self, folder):
        page = (folder / "report.html").read_text()
        for target in re.findall(r'href="#([^"]+)"', page):
            assert f'id="{target}"' in page

    def test_a_report_of_stages_only_has_no_other_section(self, cases_file):
        found = evaluate_table(cases_file, EvaluationPlan(resamples=20))
        names = ("stage_roc", "confusion_matrix", "stage_confidence", "endpoint_t3_or_t4_roc")
        page = render_page(found, dict.fromkeys(names, b"<svg/>"))
        assert 'id="readers"' not in page
        assert 'id="comparison"' not in page

    def test_an_undefined_figure_is_a_dash_and_an_infinite_one_says_so(self):
        rows = [
            {"stage": f"T{k % 2 + 1}", **{f"prob_T{i + 1}": 0.25 for i in range(4)}, "predicted": "T4"}
            for k in range(12)
        ]
        found = evaluate_table(rows, EvaluationPlan(resamples=20))
        page = render_page(found, dict.fromkeys(("stage_roc", "confusion_matrix", "stage_confidence"), b"<svg/>"))
        assert "∞" in page
        assert "nan" not in page
        assert "None" not in page


class TestFiles:
    def test_json_csv_png_and_svg_are_there(self, folder):
        assert sorted(path.name for path in folder.iterdir()) == [
            "evaluation.json", "figures", "note.txt", "report.html", "tables",
        ]  # fmt: skip
        pngs = {path.stem for path in (folder / "figures").glob("*.png")}
        assert pngs == {path.stem for path in (folder / "figures").glob("*.svg")}
        assert {"stage_roc", "confusion_matrix", "readers", "comparison", "subgroup_sex"} <= pngs
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in (folder / "figures").glob("*.png"))

    def test_the_json_is_the_report(self, folder, report):
        assert json.loads((folder / "evaluation.json").read_text()) == json.loads(json.dumps(report))

    def test_the_tables_hold_the_same_figures(self, folder, report):
        with (folder / "tables" / "stage_metrics.csv").open() as stream:
            rows = {(row["metric"], row["stage"]): row for row in csv.DictReader(stream)}
        assert float(rows["auc", "T1"]["value"]) == report["stages"]["metrics"]["auc"]["T1"]["value"]
        assert float(rows["accuracy", ""]["low"]) == report["stages"]["metrics"]["accuracy"]["low"]
        with (folder / "tables" / "readers.csv").open() as stream:
            assert {row["condition"] for row in csv.DictReader(stream)} == {"alone", "with model", "model", "change"}

    def test_the_same_report_gives_the_same_bytes(self, folder, report, tmp_path):
        write_evaluation(report, tmp_path / "again")
        for name in ("report.html", "evaluation.json", "figures/stage_roc.svg", "figures/stage_roc.png"):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()

    def test_an_earlier_result_is_never_overwritten(self, folder, report):
        before = (folder / "evaluation.json").read_bytes()
        with pytest.raises(OutputError, match="OUTPUT_EXISTS"):
            write_evaluation(report, folder)
        assert (folder / "evaluation.json").read_bytes() == before

    def test_a_failure_half_way_leaves_nothing(self, report, tmp_path, monkeypatch):
        real, calls = writing.os.rename, []

        def second_fails(source, target):
            calls.append(target)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            real(source, target)

        monkeypatch.setattr(writing.os, "rename", second_fails)
        with pytest.raises(OutputError, match="no space left"):
            write_evaluation(report, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_in_place_of_the_folder_is_refused_without_its_path(self, report, tmp_path):
        (tmp_path / "Li_Si").write_text("x")
        with pytest.raises(OutputError, match="OUTPUT_UNWRITABLE") as caught:
            write_evaluation(report, tmp_path / "Li_Si")
        assert "Li_Si" not in str(caught.value)


class TestNames:
    def test_file_names_are_plain_and_unlike(self):
        assert slug("T3 or T4") == "t3_or_t4"
        assert slug("淋巴结") == "endpoint"
        assert slug("../a b", ["a_b"]) == "a_b_2"

    def test_rows_of_different_columns_share_one_header(self):
        assert csv_text([{"a": 1}, {"b": None, "a": 2}]) == "a,b\n1,\n2,\n"
