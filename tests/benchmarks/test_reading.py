"""The readers that are compared read the same thing, and their usage is counted in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_input.series_builder import make_series, rename_randomly

from benchmarks.inputs import StudyInput, compressed_copy
from benchmarks.readers import DCM2NIIX, OURS, OURS_VOTE, READERS, ReadSeries
from benchmarks.reading import ratios
from benchmarks.table import Sample
from benchmarks.usage import cpu_seconds

_REPOSITORY = Path(__file__).resolve().parents[2]
_PEERS = [name for name in READERS if name != OURS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    rename_randomly(make_series(20).write(folder), seed=3)
    return folder


def at_world_points(series: ReadSeries, points: np.ndarray) -> np.ndarray:
    """HU at points in mm; each must be the centre of a voxel."""
    index = np.linalg.solve(series.affine_lps, np.column_stack([points, np.ones(len(points))]).T)[:3].T
    assert np.abs(index - index.round()).max() < 1e-2
    column, row, plane = index.round().astype(int).T
    return series.hu[plane, row, column]


class TestReaders:
    @pytest.mark.parametrize("name", _PEERS)
    def test_every_reader_gives_the_same_hu_at_the_same_world_points(self, folder: Path, name: str) -> None:
        ours, peer = READERS[OURS]()(folder), READERS[name]()(folder)
        assert peer.hu.shape == ours.hu.shape == (20, 64, 64)
        assert peer.hu.dtype == np.float32
        generator = np.random.default_rng(1)
        voxels = np.column_stack([generator.integers(size, size=500) for size in (64, 64, 20)])
        points = (ours.affine_lps @ np.column_stack([voxels, np.ones(500)]).T)[:3].T
        column, row, plane = voxels.T
        np.testing.assert_array_equal(at_world_points(peer, points), ours.hu[plane, row, column])

    def test_the_compressed_copy_holds_the_same_values_in_another_transfer_syntax(
        self, folder: Path, tmp_path: Path
    ) -> None:
        copy = compressed_copy(StudyInput(name="series", folder=folder), tmp_path / "copy")
        assert copy.name == "series, JPEG Lossless"
        plain, compressed = (READERS["pydicom"]()(path) for path in (folder, copy.folder))
        np.testing.assert_array_equal(compressed.hu, plain.hu)
        sizes = [sum(path.stat().st_size for path in part.iterdir()) for part in (folder, copy.folder)]
        assert sizes[1] < sizes[0]

    def test_ours_tells_the_seconds_of_its_parts(self, folder: Path) -> None:
        assert list(READERS[OURS_VOTE]()(folder).phases) == ["load", "select", "volume"]


class TestUsage:
    def test_processor_seconds_count_a_helper_that_still_runs(self) -> None:
        work = "import sys\nfor _ in range(3_000_000): pass\nprint(flush=True)\nsys.stdin.read()"
        before = cpu_seconds()
        with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
            helper.stdout.readline()
            running = cpu_seconds() - before
        ended = cpu_seconds() - before
        assert 0.02 < running < ended + 1e-3
        assert ended < running + 0.2

    @pytest.mark.parametrize("name", ["SimpleITK", DCM2NIIX])
    def test_a_fresh_process_tells_the_memory_that_reading_took(self, folder: Path, name: str) -> None:
        command = [sys.executable, "-m", "benchmarks.reading_child", name, str(folder)]
        done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        # 20 x 64 x 64 floats are a third of a megabyte; the imports, which are not counted, are tens of them.
        assert 20 * 64 * 64 * 4 <= told["peak_bytes"] < 40e6


def test_ratios_compare_with_the_fastest_python_reader_and_with_dcm2niix() -> None:
    warm = {name: Sample((value,)) for name, value in ((OURS, 0.12), ("a", 0.2), ("b", 0.15), (DCM2NIIX, 0.1))}
    cold = {name: Sample((value,)) for name, value in ((OURS, 0.5), ("a", 0.4), ("b", 0.8))}
    assert ratios(warm, cold, {OURS: 1.234}, of=OURS) == {
        "fastest_python": "b",
        "to_fastest_python": 0.8,
        "to_fastest_python_cold": 1.25,
        "to_dcm2niix_warm": 1.2,
        "to_dcm2niix_cold": 5.0,
        "memory": 1.23,
    }
