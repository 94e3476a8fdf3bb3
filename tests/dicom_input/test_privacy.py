"""A patient with a mark in every text goes through every row: the mark must not appear in any message or log."""

from __future__ import annotations

import logging
from pathlib import Path

import pydicom
import pytest

from dicom_input.conftest import read_volume
from dicom_input.fault_rows import HANDLED, REFUSED
from gastromap.errors import GastromapError

_MARK = "QQMARKQQ"


@pytest.mark.parametrize("row", [*HANDLED, *REFUSED])
def test_no_mark_in_messages_warnings_or_logs(
    row: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / _MARK
    folder.mkdir()
    original = pydicom.dataset.FileDataset.save_as

    def marked(item: pydicom.dataset.FileDataset, *args: object, **options: object) -> None:
        item.PatientAddress = item.StudyDescription = item.AccessionNumber = _MARK
        if item.get("PatientID"):
            item.PatientID = f"{item.PatientID}{_MARK}"[:64]
        original(item, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pydicom.dataset.FileDataset, "save_as", marked)
        (HANDLED.get(row) or REFUSED[row])[0](folder)
    caplog.clear()
    recwarn.clear()
    capfd.readouterr()
    text = ""
    try:
        volume = read_volume(folder)
        text = f"{volume!r} {volume.warnings} {volume.series}"
        uids = {source.sop_instance_uid for source in volume.sources}
        text = text.replace(volume.series.series_instance_uid, "").replace(volume.series.study_instance_uid, "")
    except GastromapError as error:
        text = f"{error} {error!r} {error.__context__ if not error.__suppress_context__ else ''}"
        uids = {"1.2.826.0.1.3680043"}
    captured = capfd.readouterr()
    everything = " ".join([text, caplog.text, captured.out, captured.err, *[str(item.message) for item in recwarn]])
    assert _MARK not in everything
    assert str(tmp_path) not in everything
    assert not any(uid in everything for uid in uids)
    assert not [item for item in recwarn if "pydicom" in str(item.filename)]
