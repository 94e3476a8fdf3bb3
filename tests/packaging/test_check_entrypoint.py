"""The entrypoint of a package is run under sh with a made-up root; each departure is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.map_tree import ENTRYPOINT

from gastromap.packaging.check_entrypoint import check_entrypoint

REPOSITORY = Path(__file__).resolve().parents[2]
#: NVIDIA's ends with this: the application's status is lost.
NOT_EXEC = ('exec python3 "$HOLOSCAN_APPLICATION" "$@"', 'python3 "$HOLOSCAN_APPLICATION" "$@"; exit 0')


def rules(tmp_path: Path, *changes: tuple[str, str]) -> set[str]:
    text = ENTRYPOINT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "tools").write_text(text)
    return {finding.rule for finding in check_entrypoint(tmp_path / "tools", "tools")}


def test_a_right_one_has_no_finding(tmp_path: Path) -> None:
    assert rules(tmp_path) == set()


def test_ours_has_no_finding() -> None:
    script = REPOSITORY / "packaging" / "entrypoint.sh"
    assert list(check_entrypoint(script, "tools")) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("entrypoint-show", ('app) cat "$HOLOSCAN', 'app) echo app.json; cat "$HOLOSCAN')),
        ("entrypoint-show", ("show)", "print)")),
        ("entrypoint-extract", ('docs)   cp -r "$HOLOSCAN_DOCS_PATH/." "$2/" ;;', "docs)   : ;;")),
        ("entrypoint-extract", ("some=1", "some=")),
        ("entrypoint-refusal", ("exit 64", "exit 1")),
        ("entrypoint-refusal", ('die "mount a folder"', "exit 0")),
        ("entrypoint-status", NOT_EXEC),
        ("entrypoint-signal", NOT_EXEC),
        ("entrypoint-arguments", ('"$HOLOSCAN_APPLICATION" "$@"', '"$HOLOSCAN_APPLICATION" $@')),
        ("entrypoint-workdir", ('cd "$HOLOSCAN_WORKDIR"', "cd /")),
        ("entrypoint-foreign", ("#!/bin/sh", "#!/bin/bash")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_is_found_by_its_rule(rule: str, change: tuple[str, str], tmp_path: Path) -> None:
    assert rule in rules(tmp_path, change)


def test_a_script_that_does_not_end_is_ended_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gastromap.packaging.check_entrypoint._SECONDS", 0.2)
    assert "entrypoint-show" in rules(tmp_path, ("set -u", "set -u; sleep 5"))


def test_another_program_is_noted_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "tools").write_text(f"#!/usr/bin/env python3\nopen('{tmp_path}/ran', 'w')\n")
    (finding,) = check_entrypoint(tmp_path / "tools", "tools")
    assert (finding.level, finding.rule) == ("note", "entrypoint-foreign")
    assert not (tmp_path / "ran").exists()
