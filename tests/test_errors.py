"""Errors: one line, one code, and they survive the way home from a worker process."""

from __future__ import annotations

import pickle

import pytest

from gastromap.errors import ExitCode, GastromapError, ModelError, OutputError, Refusal, UsageError

ERRORS = [
    (Refusal, ExitCode.REFUSED),
    (UsageError, ExitCode.USAGE),
    (ModelError, ExitCode.MODEL),
    (OutputError, ExitCode.OUTPUT),
    (GastromapError, ExitCode.INTERNAL),
]


@pytest.mark.parametrize(("kind", "code"), ERRORS)
class TestForm:
    def make(self, kind: type[GastromapError]) -> GastromapError:
        return kind("GAP", where="series 4 #9f31c2aa", expected="steps of 5 mm", got="2 gaps", remedy="Send them.")

    def test_it_is_one_line_with_code_place_expected_got_and_remedy(self, kind, code) -> None:
        assert str(self.make(kind)) == "GAP series 4 #9f31c2aa: expected steps of 5 mm, got 2 gaps. Send them."

    def test_each_kind_has_its_exit_code(self, kind, code) -> None:
        assert self.make(kind).exit_code is code

    def test_it_survives_a_worker_process(self, kind, code) -> None:
        sent = pickle.loads(pickle.dumps(self.make(kind)))
        assert type(sent) is kind
        assert str(sent) == str(self.make(kind))
        assert sent.exit_code is code


def test_exit_codes_are_distinct() -> None:
    assert len({int(code) for code in ExitCode}) == len(ExitCode)
