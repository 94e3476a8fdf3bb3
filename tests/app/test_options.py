"""The language of the reports: by argument, by environment, else English."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.options import parse_options
from gastromap.errors import UsageError


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("GASTROMAP_LANGUAGE", raising=False)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "image.dcm").touch()
    return ["-i", str(tmp_path / "study"), "-o", str(tmp_path / "out")]


class TestLanguage:
    def test_english_is_the_default(self, arguments: list[str]) -> None:
        assert parse_options(arguments).language == "en"

    def test_the_argument_decides(self, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GASTROMAP_LANGUAGE", "en")
        assert parse_options([*arguments, "--language", "zh"]).language == "zh"

    def test_the_environment_stands_in_for_it(self, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GASTROMAP_LANGUAGE", "zh")
        assert parse_options(arguments).language == "zh"
        monkeypatch.setenv("GASTROMAP_LANGUAGE", "")
        assert parse_options(arguments).language == "en"

    def test_another_language_is_refused(self, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SystemExit, match="2"):
            parse_options([*arguments, "--language", "fr"])
        monkeypatch.setenv("GASTROMAP_LANGUAGE", "fr")
        with pytest.raises(UsageError, match="LANGUAGE_UNKNOWN GASTROMAP_LANGUAGE: expected en or zh"):
            parse_options(arguments)
