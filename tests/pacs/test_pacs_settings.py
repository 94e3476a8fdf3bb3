"""The settings of a PACS: what is wrong is named before anything is sent, and no password stands in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gastromap.errors import UsageError
from gastromap.pacs import DicomWebSettings, DimseSettings, read_pacs_settings, remote_of


def read(tmp_path: Path, text: str):
    path = tmp_path / "pacs.yaml"
    path.write_text(text)
    return read_pacs_settings(path)


def test_a_section_gives_its_fields_and_the_rest_their_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, "dimse: {host: a, port: 104, called_aet: PACS, timeout_s: 5}\nattempts: 7\n")
    assert settings.remote == DimseSettings("a", 104, "PACS", timeout_s=5)
    assert (settings.attempts, settings.wait_s) == (7, 2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one section"),
        ("[", "readable YAML"),
        ("dicomweb: {url: 'http://a'}\ndimse: {host: a, port: 1, called_aet: B}", "one section"),
        ("dicomweb: {url: 'http://a'}\nretry: 3", "retry"),
        ("dicomweb: {url: 'http://a', password: x}", "password"),
        ("dicomweb: {url: 'ftp://a'}", "http or https"),
        ("dicomweb: {url: 'http://user:word@a'}", "without a password"),
        ("dicomweb: {url: 'http://a', username: b}", "password_env or password_file"),
        ("dicomweb: {url: 7}", "url of type str"),
        ("dicomweb: {}", "no url"),
        ("dimse: {host: a, port: '104', called_aet: B}", "port of type int"),
        ("dimse: {host: a, port: 104}", "no called_aet"),
        ("dimse: {host: a, port: 0, called_aet: B}", "ports"),
        ("dimse: {host: a, port: 104, called_aet: SEVENTEENLETTERSX}", "16 characters"),
        ("dimse: {host: a, port: 104, called_aet: B, retrieve: move}", "listen_port"),
        ("dimse: {host: a, port: 104, called_aet: B, timeout_s: 0}", "timeout_s"),
        ("dicomweb: {url: 'http://a'}\nattempts: 0", "attempts"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match="PACS_SETTINGS") as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_a_password_comes_from_the_environment_or_a_file_and_is_missed_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gastromap.pacs.settings import secret

    monkeypatch.setenv("GASTROMAP_TEST_WORD", "one")
    (tmp_path / "word").write_text("two\n")
    assert secret("GASTROMAP_TEST_WORD", "") == "one"
    assert secret("", str(tmp_path / "word")) == "two"
    monkeypatch.delenv("GASTROMAP_TEST_WORD")
    settings = read(tmp_path, "dicomweb: {url: 'http://a', username: b, password_env: GASTROMAP_TEST_WORD}")
    with pytest.raises(UsageError, match="GASTROMAP_TEST_WORD"):
        remote_of(settings)


def test_the_environment_adds_neither_proxy_nor_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    remote = remote_of(read(tmp_path, "dicomweb: {url: 'http://a'}"))
    assert remote._client._session.trust_env is False  # type: ignore[attr-defined]
    assert isinstance(read(tmp_path, "dicomweb: {url: 'http://a'}").remote, DicomWebSettings)
