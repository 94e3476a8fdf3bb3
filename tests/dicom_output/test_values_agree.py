"""Structured report, maps, masks, both JSON files, page and paper say the same of one study, to the last digit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from builders.study_result import make_outlook, make_pair_result, make_tumour
from pydicom.dataset import Dataset

from gastromap.comparison import SizeChange
from gastromap.output import write_study
from gastromap.results import StudyResult
from gastromap.segmentation.measures import TumourMeasures

#: With more digits than anything prints, and none of them on the edge of rounding.
BEFORE = {"T1": 0.0342, "T2": 0.2073, "T3": 0.6318, "T4": 0.1267}
AFTER = {"T1": 0.2519, "T2": 0.4987, "T3": 0.1972, "T4": 0.0522}
SIZES_BEFORE = TumourMeasures(38.237, 52.418, 14.632, 0.2137)
SIZES_AFTER = TumourMeasures(14.029, 33.152, 9.247, 0.1213)


def awkward_result() -> StudyResult:
    result = make_pair_result(
        probabilities=BEFORE, rad_score=0.8372, stage_after={"probabilities": AFTER, "rad_score": -0.4381}
    )
    added = result.comparison
    assert added is not None
    assert added.outlook is not None
    key = result.key_slice.index
    before = make_tumour(result.volume, key=key, measures=SIZES_BEFORE)
    after = make_tumour(added.followup.volume, key=key, radius=0.08, measures=SIZES_AFTER)
    sizes = ("volume_ml", "long_axis_mm", "thickness_mm")
    pair = replace(
        added.outlook.outcome,
        lnm_probability=0.7238,
        rmst_months=48.372,
        os_risk=-48.372,
        survival=dict(zip((12, 24, 36, 48, 60), (0.9027, 0.7513, 0.6179, 0.5042, 0.4087), strict=True)),
    )
    return replace(
        result,
        tumour=before,
        comparison=replace(
            added,
            followup=replace(added.followup, tumour=after),
            changes=tuple(SizeChange(n, getattr(SIZES_BEFORE, n), getattr(SIZES_AFTER, n)) for n in sizes),
            outlook=make_outlook(pair=pair, maps=added.outlook.maps),
        ),
    )


class _Text(HTMLParser):
    """Words of a page in English: neither scripts nor what stands there in another language."""

    _VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._shown = [True]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._VOID:
            read = tag not in ("script", "style", "template") and (dict(attrs).get("lang") or "en").startswith("en")
            self._shown.append(self._shown[-1] and read)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._VOID:
            self._shown.pop()

    def handle_data(self, data: str) -> None:
        if self._shown[-1]:
            self.words.append(data)


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("−", "-").replace("–", "-"))


@dataclass(frozen=True)
class Written:
    result: StudyResult
    folder: Path
    document: dict[str, Any]
    metadata: dict[str, Any]
    page: str

    def object(self, name: str) -> Dataset:
        return pydicom.dcmread(self.folder / "dicom" / f"{name}.dcm")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder, result = tmp_path_factory.mktemp("study"), awkward_result()
    write_study(result, folder)
    text = _Text()
    text.feed((folder / "report.html").read_text(encoding="utf-8"))
    return Written(
        result,
        folder,
        json.loads((folder / "result.json").read_bytes()),
        json.loads((folder / "metadata.json").read_bytes()),
        plain(" ".join(text.words)),
    )


@pytest.fixture(scope="module")
def pdf(written: Written) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext on this machine (Debian: apt-get install poppler-utils)")
    command = ["pdftotext", "-raw", str(written.folder / "report.pdf"), "-"]
    return plain(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def numbers(report: Dataset) -> Iterator[tuple[str, str, str, Decimal]]:
    """All numbers of the measurement groups: time point, finding, concept, value as printed."""
    measurements = next(item for item in report.ContentSequence if _concept(item) == "Imaging Measurements")
    for group in measurements.ContentSequence:
        facts = {_concept(item): item for item in group.ContentSequence}
        when = str(facts["Time Point"].TextValue) if "Time Point" in facts else ""
        finding = facts["Finding"].ConceptCodeSequence[0].CodeMeaning if "Finding" in facts else ""
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                value = item.MeasuredValueSequence[0].NumericValue
                yield when, str(finding), _concept(item), Decimal(str(value.original_string))


def _concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def rounded(value: float, digits: int = 0) -> str:
    """As a careful person would round the value in the file; the library formats floats."""
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN))


def percent(value: float) -> str:
    return f"{rounded(float(Decimal(repr(value)) * 100))} %"


def change(relative: float) -> str:
    return f"{float(rounded(relative * 100)):+.0f} %"


class TestTheStructuredReport:
    def test_has_the_probabilities_of_result_json_for_every_stage_and_date(self, written: Written) -> None:
        found = {
            ("ycT" in finding, finding[-2:]): value
            for _, finding, concept, value in numbers(written.object("sr"))
            if concept == "Probability" and finding[-2:] in BEFORE
        }
        document = written.document
        for after, stage in ((False, document["stage"]), (True, document["comparison"]["stage"])):
            for name, value in stage["probabilities"].items():
                assert found[after, name] == Decimal(repr(value))

    def test_has_its_sizes_rad_scores_and_outlook(self, written: Written) -> None:
        found: dict[tuple[bool, str], set[Decimal]] = {}
        for when, _, concept, value in numbers(written.object("sr")):
            found.setdefault(("follow-up" in when, concept), set()).add(value)
        document = written.document
        followup = document["comparison"]["followup"]["tumour"]
        for after, tumour in ((False, document["tumour"]), (True, followup)):
            for concept, name in (
                ("Long axis", "long_axis_mm"),
                ("Volume", "volume_ml"),
                ("Wall Thickness", "thickness_mm"),
            ):
                assert found[after, concept] == {Decimal(repr(tumour[name]))}
        score = "Rad-score, standard deviations of training cohort"
        assert found[False, score] == {Decimal(repr(document["stage"]["rad_score"]))}
        assert found[True, score] == {Decimal(repr(document["comparison"]["stage"]["rad_score"]))}
        every = set().union(*found.values())
        outlook = document["comparison"]["outlook"]
        for value in (outlook["lnm_probability"], outlook["rmst_months"], *outlook["survival"].values()):
            assert Decimal(repr(value)) in every


class TestTheImages:
    def test_the_map_holds_the_very_values_of_the_heat_map(self, written: Written) -> None:
        for name, heat_map in (("cam", written.result.grad_cam), ("cam_after", written.result.comparison.grad_cam)):
            item = written.object(name)
            values = np.frombuffer(item.FloatPixelData, "<f4").reshape(-1, item.Rows, item.Columns)
            keys = [frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                    for frame in item.PerFrameFunctionalGroupsSequence]  # fmt: skip
            volume = written.result.volume if name == "cam" else written.result.comparison.followup.volume
            place = keys.index(volume.sources[heat_map.index].sop_instance_uid)
            np.testing.assert_array_equal(values[place], heat_map.heatmap)

    def test_the_segment_is_the_mask_that_was_measured(self, written: Written) -> None:
        followup = written.result.comparison.followup
        for name, volume, tumour in (
            ("seg", written.result.volume, written.result.tumour),
            ("seg_after", followup.volume, followup.tumour),
        ):
            item = written.object(name)
            frames = item.pixel_array.reshape(-1, item.Rows, item.Columns) > 0
            numbers = {source.sop_instance_uid: index for index, source in enumerate(volume.sources)}
            mask = np.zeros(volume.hu.shape, bool)
            for frame, pixels in zip(item.PerFrameFunctionalGroupsSequence, frames, strict=True):
                uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
                mask[numbers[str(uid)]] |= pixels
            np.testing.assert_array_equal(mask, tumour.mask)


def test_metadata_json_has_the_values_of_result_json(written: Written) -> None:
    document, facts = written.document, written.metadata
    outlook = document["comparison"]["outlook"]
    wanted = {
        **{f"probability_{name.lower()}": value for name, value in document["stage"]["probabilities"].items()},
        **{f"tumour_{name}": document["tumour"][name] for name in ("volume_ml", "long_axis_mm", "thickness_mm")},
        "node_metastasis_probability": outlook["lnm_probability"],
        "expected_survival_months": outlook["rmst_months"],
        "stage": document["stage"]["label"],
    }
    assert {name: facts[name] for name in wanted} == wanted


def printed(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that a reader finds on page and paper: what it is, and a pattern of the words."""
    added, outlook = document["comparison"], document["comparison"]["outlook"]
    for row in added["changes"]:
        name, unit, digits = {
            "volume_ml": ("Volume", "ml", 1),
            "long_axis_mm": ("Long axis", "mm", 1),
            "thickness_mm": ("Wall thickness", "mm", 1),
        }[row["name"]]
        cells = (*(f"{rounded(row[when], digits)} {unit}" for when in ("before", "after")), change(row["relative"]))
        yield row["name"], rf"{name} {' '.join(map(re.escape, cells))}"
    both, alone = outlook, outlook["baseline_only"]
    yield "node metastasis", f"Node metastasis {percent(both['lnm_probability'])} {percent(alone['lnm_probability'])}"
    for months, value in both["survival"].items():
        yield f"survival {months}", rf"S\({months} months\) {percent(value)} {percent(alone['survival'][months])}"
    yield "expected survival", rf"{re.escape(rounded(both['rmst_months'], 1))} months"
    yield "interval", f"{added['interval_days']} days"
    score = float(rounded(document["stage"]["rad_score"], 2))
    yield "rad-score", re.escape(f"{score:+.2f} SD")
    for name, value in document["nomogram"]["probabilities"].items():
        yield f"nomogram {name}", f"{name} {percent(value)}"
    yield "nomogram total", rf"Total {rounded(document['nomogram']['total_points'])}"
    for row in document["nomogram"]["contributions"]:
        cells = f"{row['log_odds']:+.2f} {rounded(row['points'])}"
        yield f"nomogram {row['name']}", rf"{re.escape(row['name'])} .{{0,40}}?{re.escape(cells)}"
    for name, value in added["stage"]["probabilities"].items():
        yield f"after {name}", f"yc{name} {percent(value)}"


class TestPageAndPaper:
    def test_the_page_prints_the_values_of_result_json(self, written: Written) -> None:
        missing = [name for name, pattern in printed(written.document) if not re.search(pattern, written.page)]
        assert missing == []
        for name, value in written.document["stage"]["probabilities"].items():
            assert re.search(f"c{name} {percent(value)}", written.page), name

    def test_the_paper_prints_them_too(self, written: Written, pdf: str) -> None:
        missing = [name for name, pattern in printed(written.document) if not re.search(pattern, pdf)]
        assert missing == []
        # The bars are drawn: the words stand in two columns.
        for value in written.document["stage"]["probabilities"].values():
            assert percent(value) in pdf

    def test_a_value_changed_by_one_in_the_last_digit_would_be_missed(self, written: Written, pdf: str) -> None:
        document = json.loads(json.dumps(written.document))
        document["comparison"]["changes"][0]["before"] += 0.1
        document["comparison"]["outlook"]["survival"]["36"] += 0.01
        document["nomogram"]["contributions"][0]["points"] += 1
        for text in (written.page, pdf):
            missed = {name for name, pattern in printed(document) if not re.search(pattern, text)}
            assert {"volume_ml", "survival 36"} < missed
            assert len(missed) == 3
