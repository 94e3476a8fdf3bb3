"""All checks of an image: what the engine knows of it, its files, and runs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gastromap.packaging.check_commands import check_manifest_commands
from gastromap.packaging.check_findings import CheckPart, Finding, Source
from gastromap.packaging.check_image_config import check_history, check_image_config
from gastromap.packaging.check_image_files import check_image_files, read_export
from gastromap.packaging.check_layout import Profile, find_tree, profile_of
from gastromap.packaging.check_reading import as_mapping, read_json
from gastromap.packaging.check_runs import Runs, check_runs
from gastromap.packaging.check_samples import make_samples, read_study, synthetic_study
from gastromap.packaging.check_tree import check_tree, tree_pins
from gastromap.packaging.engine import Engine, EngineMissing

if TYPE_CHECKING:
    from gastromap.packaging.check_map import Rules

__all__ = ["check_image"]

_BUDGET_GB = 1.6


def check_image(
    image: str,
    *,
    rules: Rules,
    budget_gb: float | None,
    study: Path | None,
    command: str = "docker",
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> tuple[Profile, tuple[CheckPart, ...]]:
    """Check an image; without an engine the one part is skipped, with the reason.

    Parameters
    ----------
    image : str
        Name or identifier; it must be there, nothing is pulled.
    rules, budget_gb, study, timeout_s
        As in :func:`gastromap.packaging.check_map.check_map`.
    command : str
        Command of the engine.
    environment : mapping, optional
        As of :meth:`gastromap.packaging.engine.Engine.reach`.

    Returns
    -------
    profile : {"generic", "gastromap"}
        Whose rules were used.
    parts : tuple of CheckPart

    Raises
    ------
    UsageError
        ``IMAGE_MISSING``.
    """
    try:
        engine = Engine.reach(command, environment)
        found = engine.inspect(image)
        with tempfile.TemporaryDirectory(prefix="gastromap-check-") as folder:
            work = Path(folder)
            # Containers run as other users.
            work.chmod(0o755)
            return _parts(engine, image, found, work, rules, budget_gb, study, timeout_s)
    except EngineMissing as error:
        return ("generic" if rules == "auto" else rules), (CheckPart("image", skipped=error.got),)


def _parts(
    engine: Engine,
    image: str,
    found: dict[str, object],
    work: Path,
    rules: Rules,
    budget_gb: float | None,
    study: Path | None,
    timeout_s: float,
) -> tuple[Profile, tuple[CheckPart, ...]]:
    archive, files = work / "export.tar", work / "files"
    (files / "etc" / "holoscan").mkdir(parents=True)
    engine.export(image, archive)
    entries = read_export(archive, files)
    archive.unlink()
    tree = find_tree(files)
    profile = profile_of(tree) if rules == "auto" else rules
    read = read_json(tree.app_manifest, tree.name(tree.app_manifest), Source.SPECIFICATION)
    app = {} if isinstance(read, Finding) else read
    parts = list(check_tree(tree, profile))
    if budget_gb is None:
        budget_gb = _BUDGET_GB if profile == "gastromap" else math.inf
    config = list(check_image_config(found, app, tree_pins(tree), budget_bytes=budget_gb * 1e9))
    config += check_history(engine.history(image))
    parts.append(CheckPart("image", tuple(config)))
    parts.append(CheckPart("image files", tuple(check_image_files(entries, as_mapping(found.get("Config")), profile))))
    parts.append(CheckPart("show, extract", tuple(check_manifest_commands(engine, image, files, work))))
    given = synthetic_study(work / "cohort") if study is None else read_study(study)
    samples = make_samples(given, work / "inputs")
    runs = Runs(engine, image, samples, work, app, profile, timeout_s)
    parts += [CheckPart(name, tuple(findings)) for name, findings in check_runs(runs)]
    return profile, tuple(parts)
