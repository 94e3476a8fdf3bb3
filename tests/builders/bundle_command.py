"""``python -m monai.bundle run`` in a process of its own, as the READMEs print it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from builders.bundle import REPOSITORY

__all__ = ["run_bundle"]


def run_bundle(
    bundle: Path, *arguments: str, processes: int = 1, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run from inside a bundle; a failure shows the end of what was printed."""
    launch = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "monai.bundle", "run", "--logging_file", "configs/logging.conf", *arguments],
        cwd=bundle,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check:
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done
