"""Selective scan: which backend takes a call, what the log says of it, and how the compiled one is built."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from gastromap.errors import UsageError
from gastromap.models.selective_scan import backends, build, cuda, native, selective_scan
from gastromap.models.selective_scan.sequential import sequential_scan

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None, reason="there is no C++ compiler to build the scan with"
)


def _inputs() -> list[Tensor]:
    u, dt = torch.randn(1, 6, 3), torch.rand(1, 6, 3)
    return [u, dt, -torch.ones(3, 2), torch.randn(1, 6, 2), torch.randn(1, 6, 2)]


def _import_anew() -> None:
    for name in [name for name in sys.modules if name.startswith("gastromap.models.selective_scan")]:
        del sys.modules[name]
    assert importlib.import_module("gastromap.models.selective_scan").selective_scan is not selective_scan


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A process that has chosen no backend yet, with an empty cache; yields the folder of the cache."""

    def forget() -> None:
        for cached in (native._loaded, backends._say, cuda._operator):
            cached.cache_clear()

    forget()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path / "gastromap" / "selective_scan"
    forget()


class TestAuto:
    def test_a_broken_compiler_means_block_and_one_line_in_the_log(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("CXX", "false")
        inputs = _inputs()
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                torch.testing.assert_close(selective_scan(*inputs), selective_scan(*inputs, backend="block"))
        assert [record.message for record in caplog.records] == [
            "selective scan: block, because no native: the C++ compiler ended with status 1"
        ]
        assert list(fresh.iterdir()) == []

    def test_no_compiler_at_all_means_block(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with caplog.at_level(logging.INFO):
            selective_scan(*_inputs())
        assert "block, because no native: no C++ compiler can be started" in caplog.text

    @needs_compiler
    def test_with_a_compiler_the_log_says_native_once(self, fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                selective_scan(*_inputs())
        assert [record.message for record in caplog.records] == ["selective scan: native, because it is the fastest"]

    def test_importing_builds_nothing(self, fresh: Path) -> None:
        worker = multiprocessing.get_context("fork").Process(target=_import_anew)
        worker.start()
        worker.join()
        assert worker.exitcode == 0
        assert not fresh.exists()


class TestAskedFor:
    def test_native_without_a_compiler_is_an_error_and_not_block(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CXX", "false")
        with pytest.raises(UsageError, match=r"^SCAN_BACKEND selective_scan: expected backend native.*status 1\. Use"):
            selective_scan(*_inputs(), backend="native")

    def test_cuda_for_tensors_on_the_cpu_is_an_error(self) -> None:
        with pytest.raises(UsageError, match=r"SCAN_BACKEND .* got the tensors are not on a GPU"):
            selective_scan(*_inputs(), backend="cuda")

    def test_native_for_tensors_elsewhere_is_an_error(self) -> None:
        with pytest.raises(UsageError, match=r"SCAN_BACKEND .* got the tensors are not on the CPU"):
            selective_scan(*(x.to("meta") for x in _inputs()), backend="native")

    def test_cuda_hands_time_last_and_contiguous_to_the_operator(
        self, fresh: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def operator(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, delta_softplus: bool) -> Tensor:
            assert all(x.is_contiguous() for x in (u, delta, A, B, C))
            assert not delta_softplus
            u, delta, B, C = (x.transpose(1, 2) for x in (u, delta, B, C))
            return sequential_scan(u, delta, A, B, C).transpose(1, 2)

        module = ModuleType("mamba_ssm.ops.selective_scan_interface")
        module.selective_scan_fn = operator
        for name in ("mamba_ssm", "mamba_ssm.ops"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        inputs = _inputs()
        torch.testing.assert_close(cuda.cuda_scan(*inputs), sequential_scan(*inputs))

    @pytest.mark.parametrize(
        ("changed", "where"),
        [
            ({"backend": "fastest"}, "backend: expected one of auto, block, native, cuda, sequential, got fastest"),
            ({"chunk": 0}, "chunk: expected 1 or more steps, got 0"),
            ({"budget": 0}, "budget: expected 1 or more bytes, got 0"),
            ({"u": torch.zeros(6, 3)}, "u: .*got float32 of shape .6, 3."),
            ({"u": torch.zeros(1, 6, 3, dtype=torch.int64)}, "u: expected floating point .*got int64"),
            ({"A": torch.zeros(2, 3)}, "A: expected shape .3, states."),
            ({"C": torch.zeros(1, 6, 5)}, "C: expected shape .1, 6, 2."),
            ({"D": torch.zeros(2)}, "D: expected shape .3,."),
        ],
    )
    def test_a_call_that_does_not_fit_names_what_was_expected(self, changed: dict[str, object], where: str) -> None:
        arguments = dict(zip(("u", "dt", "A", "B", "C"), _inputs(), strict=True)) | changed
        with pytest.raises(UsageError, match=f"SCAN_ARGUMENT selective_scan, {where}"):
            selective_scan(**arguments)


@needs_compiler
class TestBuild:
    def test_processes_that_build_at_once_leave_one_file_that_all_can_load(self, fresh: Path) -> None:
        workers = [multiprocessing.get_context("fork").Process(target=build.library) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert [path.suffix for path in fresh.iterdir()] == [".so"]

    def test_a_damaged_file_is_built_again(self, fresh: Path) -> None:
        build.cache_folder()
        damaged = fresh / f"scan-{build._digest()}.so"
        damaged.write_bytes(b"half a file")
        build.library()
        assert damaged.stat().st_size > 1000

    def test_what_is_in_the_cache_needs_no_compiler(self, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        build.library()
        monkeypatch.setenv("CXX", "false")
        build.library()

    def test_another_processor_has_a_file_of_its_own(self, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here = build._digest()
        monkeypatch.setattr(build, "_processor_features", lambda: "flags: fpu")
        assert build._digest() != here


class TestCacheFolder:
    def test_it_is_for_its_owner_only(self, fresh: Path) -> None:
        assert build.cache_folder() == fresh
        assert fresh.stat().st_mode & 0o777 == 0o700

    def test_one_that_others_may_write_to_is_refused(self, fresh: Path) -> None:
        build.cache_folder().chmod(0o777)
        with pytest.raises(build.BuildError, match="other users may write"):
            build.cache_folder()

    def test_a_place_that_cannot_be_written_to_is_said(self, fresh: Path) -> None:
        fresh.parent.write_text("a file where the folder should be", encoding="utf-8")
        with pytest.raises(build.BuildError, match=r"cannot be made \((FileExists|NotADirectory)Error\)"):
            build.cache_folder()
