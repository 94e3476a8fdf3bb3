"""``python -m benchmarks.training``: images a second in training, the bundle beside a plain loop of the released kind.

Same network (torchvision's ResNet, which GTRNet without the cropped stream is), same slices, same batch size, Adam,
CPU, in turns. Plain: 512 x 512 grey PNG decoded, resized and changed by torchvision transforms in each epoch, float32,
channels first; without and with two loader processes, the faster counts. Bundle: ``train.yaml`` as it is (prepared
slices kept in memory, MONAI's random transforms, channels last, metrics; bfloat16 where the CPU computes in it), and in
float32. The first epoch is not counted: it fills the bundle's cache and loads code.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import nibabel
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

from benchmarks.machine import load_average, machine
from benchmarks.table import Sample, render
from benchmarks.usage import cpu_seconds
from gastromap.synthetic.cohort import CohortPlan, write_cohort
from gastromap.training import best_precision

__all__ = ["main", "measure"]

_BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "gastric_tstage_classification"
_PLAIN = "plain loop"
_AIM = 1.3


class _Trained(Protocol):
    def epoch(self) -> None:
        """Train one epoch."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--depths", type=int, nargs="+", default=[18, 50])
    parser.add_argument("--images", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="counted epochs each (default: %(default)s)")
    parser.add_argument("--matrix", type=int, default=512, help="of the slices (default: %(default)s)")
    given = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    report: dict[str, Any] = {**machine(torch.device("cpu")), "load_average_at_start": load_average()}
    with tempfile.TemporaryDirectory(prefix="gastromap-bench-") as scratch:
        data = Path(scratch) / "data"
        plan = CohortPlan(seed=11, format="slices", centres=(1, 2), slices=1, matrix=given.matrix)
        # More patients than images: the validation split of the configuration must not be empty.
        write_cohort(plan, data, patients=given.images + 4, validation_share=4 / (given.images + 4))
        pictures = _write_png(data)
        for depth in given.depths:
            report[f"depth_{depth}"] = measure(
                data,
                pictures,
                Path(scratch) / f"run{depth}",
                depth=depth,
                batch_size=given.batch_size,
                rounds=given.rounds,
            )
    report["load_average_at_end"] = load_average()
    print(f"  Load average at the start {report['load_average_at_start']}, at the end {report['load_average_at_end']}.")
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(
    data: Path, pictures: list[tuple[Path, int]], run: Path, *, depth: int, batch_size: int, rounds: int
) -> dict[str, Any]:
    """Train with each in turns: images a second, ratios, and what the network alone takes."""
    images = len(pictures) // batch_size * batch_size
    precision = best_precision(torch.device("cpu"))
    ours, alone = f"bundle, {precision}", f"network alone, {precision}"
    trained: dict[str, _Trained] = {
        f"{_PLAIN}, 0 loaders": _Plain(pictures, depth=depth, batch_size=batch_size, loaders=0),
        f"{_PLAIN}, 2 loaders": _Plain(pictures, depth=depth, batch_size=batch_size, loaders=2),
        **{
            f"bundle, {kind}": _Bundle(data, run / kind, depth=depth, batch_size=batch_size, precision=kind)
            for kind in dict.fromkeys((precision, "float32"))
        },
        alone: _NetworkAlone(depth=depth, batch_size=batch_size, images=images, precision=precision),
    }
    wall: dict[str, list[float]] = {name: [] for name in trained}
    processor: dict[str, list[float]] = {name: [] for name in trained}
    for number in range(rounds + 1):
        for name, one in trained.items():
            start, used = time.perf_counter(), cpu_seconds()
            one.epoch()
            if number:
                wall[name].append(time.perf_counter() - start)
                processor[name].append(cpu_seconds() - used)
    seconds = {name: Sample(tuple(values)) for name, values in wall.items()}
    used_seconds = {name: Sample(tuple(values)) for name, values in processor.items()}
    # The best epoch of each: other work and a throttled processor only ever add time, up to tenfold between epochs.
    best = {name: min(values) for name, values in wall.items()}
    plain = min((name for name in trained if name.startswith(_PLAIN)), key=best.__getitem__)
    ratio = {name: best[plain] / value for name, value in best.items()}
    paired = {name: float(np.median(np.divide(wall[plain], wall[name]))) for name in trained}
    rows = [
        [
            name,
            str(seconds[name]),
            f"{images / best[name]:.1f}",
            f"{ratio[name]:.2f}",
            f"{paired[name]:.2f}",
        ]
        for name in trained
    ]
    title = f"ResNet-{depth}, {images} images an epoch, batches of {batch_size}, {rounds} counted epochs"
    print(render(title, ["", "seconds an epoch", "images/s, best", "times plain, best", "median of rounds"], rows))
    share = best[alone] / best[ours]
    print(
        f"  Bundle to the faster plain loop {ratio[ours]:.2f} (aim {_AIM}); network alone {share:.0%} of its epoch.\n"
    )
    return {
        "images": images,
        "batch_size": batch_size,
        "seconds": {name: sample.to_json() for name, sample in seconds.items()},
        "cpu_seconds": {name: sample.to_json() for name, sample in used_seconds.items()},
        "times_plain": {name: round(value, 3) for name, value in ratio.items()},
        "times_plain_median": {name: round(value, 3) for name, value in paired.items()},
        "plain": plain,
        "network_share": round(share, 3),
    }


def _write_png(data: Path) -> list[tuple[Path, int]]:
    """The training slices as the authors released theirs: 8 bit, level 50, width 350."""
    folder = data / "png"
    folder.mkdir()
    written = []
    for record in json.loads((data / "datalist.json").read_text(encoding="utf-8"))["training"]:
        image: Any = nibabel.load(data / record["image"])
        hu = np.atleast_3d(np.asarray(image.dataobj, np.float32))[..., 0].T
        path = folder / f"{record['patient_id']}.png"
        Image.fromarray(np.round(np.clip((hu + 125) / 350, 0, 1) * 255).astype(np.uint8)).save(path)
        written.append((path, int(record["label"])))
    return written


class _PngSlices(Dataset[tuple[Tensor, int]]):
    def __init__(self, pictures: list[tuple[Path, int]]) -> None:
        self._pictures = pictures
        self._transform = transforms.Compose(
            [
                transforms.Resize((224, 224)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(10),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._pictures[index]
        return self._transform(Image.open(path).convert("RGB")), label


class _Plain:
    def __init__(self, pictures: list[tuple[Path, int]], *, depth: int, batch_size: int, loaders: int) -> None:
        torch.manual_seed(0)
        self._network = models.get_model(f"resnet{depth}", weights=None, num_classes=4).train()
        self._loader = DataLoader(
            _PngSlices(pictures), batch_size=batch_size, shuffle=True, drop_last=True, num_workers=loaders
        )
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=1e-4)
        self._loss = nn.CrossEntropyLoss()

    def epoch(self) -> None:
        correct, total = 0, 0.0
        for images, labels in self._loader:
            self._optimiser.zero_grad()
            logits = self._network(images)
            loss = self._loss(logits, labels)
            loss.backward()
            self._optimiser.step()
            total += loss.item()
            correct += int((logits.argmax(1) == labels).sum())


class _Bundle:
    def __init__(self, data: Path, run: Path, *, depth: int, batch_size: int, precision: str) -> None:
        self._workflow = ConfigWorkflow(
            config_file=str(_BUNDLE / "configs" / "train.yaml"),
            meta_file=str(_BUNDLE / "configs" / "metadata.json"),
            workflow_type="train",
            logging_file=False,
            bundle_root=str(_BUNDLE),
            dataset_dir=str(data),
            ckpt_dir=str(run),
            batch_size=batch_size,
            precision=precision,
            profile="released",
            val_interval=10**6,
            **{"network_args::depth": depth, "network_args::in_channels": 3, "network_args::crop_fusion": False},
        )
        self._workflow.initialize()
        self._trainer = self._workflow.parser.get_parsed_content("train::trainer")
        self._trainer.state.max_epochs = 0
        # The peer is not made deterministic either.
        set_determinism(None)

    def epoch(self) -> None:
        self._trainer.state.max_epochs += 1
        self._trainer.run()


class _NetworkAlone:
    """Forward, backward and step on one batch that is there already."""

    def __init__(self, *, depth: int, batch_size: int, images: int, precision: str) -> None:
        self._network = models.get_model(f"resnet{depth}", weights=None, num_classes=4).train()
        self._network.to(memory_format=torch.channels_last)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=1e-4)
        self._batch = torch.randn(batch_size, 3, 224, 224).contiguous(memory_format=torch.channels_last)
        self._labels = torch.arange(batch_size) % 4
        self._batches = images // batch_size
        self._mixed = precision == "bfloat16"

    def epoch(self) -> None:
        for _ in range(self._batches):
            self._optimiser.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._mixed):
                logits = self._network(self._batch)
            nn.functional.cross_entropy(logits.float(), self._labels).backward()
            self._optimiser.step()


if __name__ == "__main__":
    sys.exit(main())
