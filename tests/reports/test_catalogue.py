"""The catalogue of texts: every text of the reports has a Chinese translation that says the same values."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import polib
import pytest
from builders.bundle import REPOSITORY
from builders.study_result import NOTICE, make_pair_result, make_study_result

from gastromap.nomogram import NomogramModel, apply
from gastromap.reports import catalogue
from gastromap.reports.catalogue import known, say
from gastromap.reports.content import report_content
from gastromap.reports.phrases import SAID_ELSEWHERE
from gastromap.reports.probabilities import set_in_words
from gastromap.results import ClinicalVariables
from gastromap.text import Text, alternatives, enumerated, in_a_row

CHINESE = re.compile("[\u3001-\u303f\u4e00-\u9fff]")


def of_source(path: Path) -> list[str]:
    """Templates of ``Text("…")`` in a module; a template that is not written out cannot be collected."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Text" and node.args:
            if path.name == "catalogue.py":
                continue
            assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
            found.append(node.args[0].value)
    return found


def of_template(path: Path) -> list[str]:
    return re.findall(r'_\("([^"]*)"', path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def templates() -> set[str]:
    library = REPOSITORY / "gastromap"
    found = {text for path in library.rglob("*.py") for text in of_source(path)}
    return found | {text for path in (library / "reports").glob("*.html") for text in of_template(path)}


@pytest.fixture(scope="module")
def entries() -> list[polib.POEntry]:
    return list(polib.pofile(str(Path(catalogue.__file__).with_name("zh.po"))))


def names(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(template) if name is not None)


class TestCatalogue:
    def test_every_text_is_there_and_nothing_else(self, templates, entries):
        keys = [entry.msgid for entry in entries]
        assert len(keys) == len(set(keys))
        assert templates - set(keys) == set()
        assert set(keys) - templates == set()

    def test_every_entry_is_translated_with_the_same_names(self, entries):
        for entry in entries:
            assert entry.msgstr, entry.msgid
            assert not entry.flags, entry.msgid
            assert names(entry.msgid) == names(entry.msgstr), entry.msgid
            words = re.search("[A-Za-z]{3}", re.sub("{.*?}|GastroMAP", "", entry.msgid))
            assert CHINESE.search(entry.msgstr) or not words, entry.msgid

    def test_a_sentence_stays_a_sentence(self, entries):
        for entry in entries:
            if re.search(r"[a-z}]\.$", entry.msgid):
                assert entry.msgstr.endswith(("。", "}")), entry.msgid

    def test_headings_of_the_page_are_texts(self):
        for path in (REPOSITORY / "gastromap" / "reports").glob("*.html"):
            bare = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}|<style>.*?</style>|<[^>]*>", " ", path.read_text(), flags=re.S)
            assert re.findall("[A-Za-z]{3,}", bare) == [], path.name


class TestText:
    def test_it_is_its_english_self(self):
        text = Text("{votes} of {slices} slices vote for {label}", votes=2, slices=3, label="cT3")
        assert text == "2 of 3 slices vote for cT3"
        assert say(text, "en") == text
        assert say(text, "zh") == "3 个层面中 2 个判为 cT3"

    def test_values_are_said_too(self):
        assert say(set_in_words(("T1", "T3"), 0.9), "zh") == "T1 或 T3（覆盖率 90%）"

    def test_fixed_words_inside_a_text_are_said_too(self):
        assert say(Text("not given: {variables}", variables="no stomach found"), "zh") == "未提供：未找到胃"

    def test_lists(self):
        assert in_a_row([]) == ""
        assert enumerated(["a", "b", "c"]) == "a, b and c"
        assert alternatives(["a"]) == "a"
        assert say(enumerated(["a", "b", "c"]), "zh") == "a、b、c"
        assert say(in_a_row(["a", "b"]), "zh") == "a，b"

    def test_foreign_words_stay_as_they_are(self):
        assert say(NOTICE, "zh") == NOTICE
        assert known(NOTICE) == NOTICE
        assert not isinstance(known(NOTICE), Text)
        assert known("with {braces}") == "with {braces}"

    def test_fixed_words_of_other_modules_are_known(self):
        for text in SAID_ELSEWHERE:
            assert isinstance(known(str(text)), Text)


def strings(content: object) -> list[str]:
    """All strings of a content, at any depth."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, tuple):
        return [text for item in content for text in strings(item)]
    fields = getattr(content, "__dataclass_fields__", {})
    numbers = ("model", "result")
    return [text for name in fields if name not in numbers for text in strings(getattr(content, name))]


@pytest.mark.parametrize("make", [make_study_result, make_pair_result])
def test_nothing_that_a_report_says_was_lost_on_the_way(make):
    nomogram = apply(
        NomogramModel.published(), rad_score=4.2, clinical=ClinicalVariables(4.2, "poor", "mixed", size_origin="auto")
    )
    content = report_content(make(nomogram=nomogram, warnings=("LOSSY",)))
    foreign = [text for text in strings(content) if not isinstance(text, Text) and re.search("[a-z]{4}", text)]
    expected = (
        "GastroMAP",
        "SYNTHETIC",
        "P-0001",
        "Muster",
        "synthetic-validation",
        "paper",
        "TestNet",
        "volume",
        "SHA",
        "Masks",
    )
    axes = {"points", "rad_score", "size", "differentiation", "lauren", "total"}
    assert [text for text in foreign if not any(word in text for word in expected) and text not in axes] == []
