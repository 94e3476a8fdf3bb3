"""Training on a CPU: the loader's own thread, memory that is kept."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from monai.data import DataLoader
from torch.utils.data import Dataset

from gastromap.training import BackgroundLoader


class _Numbers(Dataset[Any]):
    """Items that say which thread made them, and with how many threads it computes."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        torch.ones(100_000).exp()
        alone = threading.current_thread() is not threading.main_thread()
        return {"value": float(index), "threads": torch.get_num_threads(), "alone": alone}


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_loaders_thread_computes_with_one_thread_and_the_network_with_all(two_threads: None) -> None:
    batches = list(BackgroundLoader(_Numbers(), batch_size=2, num_workers=0))
    assert all(batch["alone"].all() for batch in batches)
    assert [batch["threads"].tolist() for batch in batches] == [[1, 1]] * 3
    assert torch.get_num_threads() == 2


def test_batches_are_those_of_the_usual_loader() -> None:
    expected = [batch["value"].tolist() for batch in DataLoader(_Numbers(), batch_size=4, num_workers=0)]
    assert [batch["value"].tolist() for batch in BackgroundLoader(_Numbers(), batch_size=4, num_workers=0)] == expected


def test_an_item_asked_for_by_the_main_thread_leaves_its_threads_alone(two_threads: None) -> None:
    assert BackgroundLoader(_Numbers(), num_workers=0).dataset[3]["threads"] == 2


class _Broken(_Numbers):
    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 3:
            msg = "a file that is damaged"
            raise OSError(msg)
        return super().__getitem__(index)


def test_an_error_in_the_loaders_thread_ends_the_training_and_not_just_the_epoch() -> None:
    """MONAI's thread dies silently, and an epoch without a single step looks like one that is finished."""
    batches = iter(BackgroundLoader(_Broken(), batch_size=2, num_workers=0))
    assert next(batches)["value"].tolist() == [0, 1]
    with pytest.raises(OSError, match="a file that is damaged"):
        list(batches)


_TWICE = """
import resource, torch, gastromap.training as training
training.keep_memory(torch.device({device!r}))
faults = []
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(64 * 1024 * 1024)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept by a function of glibc")
@pytest.mark.parametrize(("device", "kept"), [("cpu", True), ("cuda", False)])
def test_memory_given_back_is_used_again_without_asking_the_system(device: str, kept: bool) -> None:
    script = _TWICE.format(device=device)
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    # 256 MB are 65,536 pages of 4 kB, or 128 of 2 MB.
    faults = int(out.stdout.split()[-1])
    assert faults < 30 if kept else faults >= 100
