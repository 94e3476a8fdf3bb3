"""``gastromap inspect``: everything in a folder is shown, and the last line is the answer of the gate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dicom_input.fault_rows import HANDLED, REFUSED, arterial
from dicom_input.series_builder import make_series, uid
from gastromap.cli import main
from gastromap.dicom_input import GateSettings, load_folder, select_series
from gastromap.dicom_input.image import CtImage
from gastromap.dicom_input.inspection import inspect_folder
from gastromap.dicom_input.phase import Vote
from gastromap.errors import Refusal

_SETTINGS = GateSettings()


def _gate(folder: Path) -> str:
    try:
        select_series(load_folder(folder, settings=_SETTINGS), settings=_SETTINGS)
    except Refusal as refusal:
        return refusal.code
    return "CHOSEN"


def _inspection(folder: Path) -> str:
    try:
        found = inspect_folder(folder, settings=_SETTINGS)
    except Refusal as refusal:
        return refusal.code  # there is nothing to look at
    json.dumps(found.to_mapping())
    return found.decision.code


@pytest.mark.parametrize("row", [*HANDLED, *REFUSED])
def test_the_decision_is_the_one_of_the_gate(row: str, tmp_path: Path) -> None:
    (HANDLED if row in HANDLED else REFUSED)[row][0](tmp_path)
    assert _inspection(tmp_path) == _gate(tmp_path)


def test_chosen_and_lost_series_are_told_apart(tmp_path: Path) -> None:
    make_series().write(tmp_path / "a")
    arterial().write(tmp_path / "b")
    volumes = {item.series_instance_uid: item for item in inspect_folder(tmp_path, settings=_SETTINGS).volumes}
    portal = volumes[make_series().slices[0].SeriesInstanceUID]
    other = volumes[arterial().slices[0].SeriesInstanceUID]
    assert (portal.chosen, other.chosen) == (True, False)
    assert portal.votes["text"] == "portal"
    assert other.votes["text"] == "other"
    assert (portal.plane, portal.step_mm, portal.number_of_images) == ("axial", 5.0, 20)


def test_the_votes_shown_are_those_of_the_gate_and_the_pixels_are_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series().write(tmp_path)
    asked: list[tuple[str, ...]] = []

    def vote(images: Sequence[CtImage]) -> Vote:
        asked.append(tuple(image.sop_uid for image in images))
        return "portal"

    monkeypatch.setattr("gastromap.dicom_input.image_vote.image_voter", lambda _: vote)
    (volume,) = inspect_folder(tmp_path, settings=_SETTINGS).volumes
    assert volume.votes["image"] == "portal"
    assert len(asked) == 1
    selected = select_series(load_folder(tmp_path, settings=_SETTINGS), settings=_SETTINGS)
    assert volume.votes == selected.record.votes


def test_the_plane_follows_the_limit_of_the_gate(tmp_path: Path) -> None:
    tilted = [1.0, 0.0, 0.0, 0.0, float(np.cos(np.radians(8))), float(np.sin(np.radians(8)))]
    make_series().set(ImageOrientationPatient=tilted).write(tmp_path)
    planes = [
        inspect_folder(tmp_path, settings=GateSettings(max_axial_degrees=limit)).volumes[0].plane for limit in (10, 5)
    ]
    assert planes == ["axial", "oblique"]


def test_a_series_is_described_although_the_patients_differ(tmp_path: Path) -> None:
    make_series().write(tmp_path / "a")
    second = make_series().set(PatientID="OTHER", PatientName="Other^One", StudyInstanceUID=uid("second study"))
    second.each(lambda i, item: setattr(item, "SOPInstanceUID", uid("second", i)))
    second.set(SeriesInstanceUID=uid("second series")).write(tmp_path / "b")
    found = inspect_folder(tmp_path, settings=_SETTINGS)
    assert found.decision.code == "PATIENT_MISMATCH"
    assert found.patients == 2
    assert sorted(item.patients for item in found.volumes) == [(1,), (2,)]


def test_two_patients_under_one_series_are_both_counted(tmp_path: Path) -> None:
    mixed = make_series().each(lambda i, item: setattr(item, "PatientID", "OTHER") if i % 2 else None)
    mixed.write(tmp_path)
    assert [item.patients for item in inspect_folder(tmp_path, settings=_SETTINGS).volumes] == [(1, 2)]


def test_an_object_without_identity_is_no_second_patient(tmp_path: Path) -> None:
    silent = make_series().remove("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    silent.slices[1:] = make_series().slices[1:]
    silent.write(tmp_path)
    assert inspect_folder(tmp_path, settings=_SETTINGS).patients == 1


def test_the_page_names_series_problem_and_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_series().drop(7).write(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 3
    page = capsys.readouterr().out
    assert "axial" in page
    assert page.count("GAP") == 3  # row, problem, decision


def test_the_exit_code_says_whether_a_series_would_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_series().write(tmp_path)
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "gastromap-inspection/1"
    assert found["decision"]["code"] == "CHOSEN"


def test_neither_page_nor_json_holds_patient_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = make_series().set(
        PatientName="MARKER^NAME",
        PatientID="MARKERID",
        AccessionNumber="MARKERACC",
        SeriesDescription="portal MARKERTEXT",
        PatientBirthDate="19450607",
    )
    marked.write(tmp_path / "MARKERFOLDER", prefix="MARKERFILE")
    for options in (["--uids"], ["--json"]):
        assert main(["inspect", str(tmp_path), *options]) in (0, 3)
        captured = capsys.readouterr()
        assert "MARKER" not in captured.out + captured.err
        assert "19450607" not in captured.out + captured.err
