"""Each operator with fake ports: it receives, calls the library and emits; the house rules hold."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.bundle import REPOSITORY
from builders.study_result import make_study_result
from monai.deploy.core import Fragment

import operators
from gastromap.dicom_input import GateSettings
from gastromap.errors import Refusal
from gastromap.output import prepare_output
from gastromap.results import ClinicalVariables, NomogramOmitted
from gastromap.run_record import Stopwatch
from gastromap.staging import TStager


class Ports:
    """Input and output context of one ``compute`` call."""

    def __init__(self, **received: Any) -> None:
        self.received = received
        self.emitted: dict[str, Any] = {}

    def receive(self, name: str) -> Any:
        return self.received[name]

    def emit(self, value: Any, name: str) -> None:
        self.emitted[name] = value


def compute(operator: Any, **received: Any) -> dict[str, Any]:
    ports = Ports(**received)
    operator.compute(ports, ports, None)
    return ports.emitted


@pytest.fixture(scope="module")
def fragment() -> Fragment:
    return Fragment()


@pytest.fixture(scope="module")
def stager(random_models: Path) -> TStager:
    return TStager.load(random_models, device=torch.device("cpu"))


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


class TestChain:
    def test_each_operator_hands_on_what_the_next_one_takes(
        self, fragment: Fragment, stager: TStager, watch: Stopwatch, study_folder: Path, tmp_path: Path
    ) -> None:
        settings = GateSettings()
        written: list[Any] = []
        loaded = compute(operators.DicomLoaderOperator(fragment, folder=study_folder, settings=settings, watch=watch))
        scans = compute(operators.SeriesSelectorOperator(fragment, settings=settings, watch=watch), **loaded)
        found = compute(operators.KeySliceOperator(fragment, watch=watch), **scans)
        cases = compute(operators.PreprocessingOperator(fragment, stager=stager, watch=watch), **found)
        staged = compute(operators.TStageOperator(fragment, stager=stager, watch=watch), **cases)
        explained = compute(operators.GradCamOperator(fragment, stager=stager, watch=watch), **staged)
        findings = compute(
            operators.NomogramOperator(fragment, stager=stager, clinical_of=lambda _: ClinicalVariables(), watch=watch),
            **explained,
            **found,
        )
        assert isinstance(findings["findings"][1], NomogramOmitted)
        outlook = compute(operators.LongitudinalOperator(fragment, watch=watch), **found)
        compute(
            operators.ResultWriterOperator(
                fragment,
                output=prepare_output(tmp_path / "out"),
                watch=watch,
                on_written=lambda result, files: written.append((result, files)),
            ),
            **findings,
            **outlook,
        )
        result, files = written[0]
        assert files[-1] == tmp_path / "out" / "result.json"
        # The very slice that the network saw is the one on record.
        assert result.grad_cam.index == result.key_slice.index
        # The segmentation that came with the study gives the size; one study is compared with nothing.
        assert result.tumour.origin == "seg"
        assert result.comparison is None
        # The segmentation that came with the study gives the size; one study is compared with nothing.
        assert result.tumour.origin == "seg"
        assert result.comparison is None
        assert set(watch.seconds) == {
            "load", "select", "volume", "key slice", "preprocess", "infer", "explain", "nomogram", "write",
        }  # fmt: skip

    def test_a_refusal_leaves_an_operator_with_its_own_type(
        self, fragment: Fragment, watch: Stopwatch, tmp_path: Path
    ) -> None:
        loader = operators.DicomLoaderOperator(fragment, folder=tmp_path, settings=GateSettings(), watch=watch)
        with pytest.raises(Refusal, match="NO_DICOM"):
            compute(loader)


class TestHouseRules:
    @pytest.mark.parametrize("path", sorted((REPOSITORY / "operators").glob("*.py")), ids=lambda p: p.stem)
    def test_an_operator_has_at_most_60_lines(self, path: Path) -> None:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno + 1 <= 60

    def test_the_library_knows_nothing_of_holoscan(self) -> None:
        for path in (REPOSITORY / "gastromap").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [n for n in names if n.startswith(("holoscan", "monai.deploy", "operators", "app"))], path

    def test_no_print_outside_the_command_line(self) -> None:
        for path in (REPOSITORY / "gastromap").rglob("*.py"):
            if "cli" in path.parts:
                continue
            calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            assert "print" not in [f.id for f in calls if isinstance(f, ast.Name)], path


def test_the_builder_of_results_makes_a_complete_one() -> None:
    assert make_study_result().stage.stage in {"T1", "T2", "T3", "T4"}
