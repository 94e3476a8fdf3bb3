"""The whole check of a package: tree, files of its deployment, image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from gastromap.errors import UsageError
from gastromap.packaging.check_deploy import check_deployment
from gastromap.packaging.check_findings import CheckPart, CheckReport, Source
from gastromap.packaging.check_layout import MapTree, Profile, find_tree, profile_of
from gastromap.packaging.check_reading import read_json
from gastromap.packaging.check_tree import check_tree

__all__ = ["Rules", "check_map"]

#: ``auto`` takes GastroMAP's rules where the application is GastroMAP.
Rules = Literal["auto", "generic", "gastromap"]


def check_map(
    *,
    image: str | None = None,
    tree: Path | None = None,
    deploy: Sequence[Path] = (),
    rules: Rules = "auto",
    budget_gb: float | None = None,
    study: Path | None = None,
    engine: str = "docker",
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
    run_entrypoint: bool = True,
) -> CheckReport:
    """Check a package.

    Parameters
    ----------
    image : str, optional
        Image to inspect and run; needs a container engine.
    tree : Path, optional
        Build context, extracted package or files of an image.
    deploy : sequence of Path
        Express workflows, Argo templates, Mercure modules.
    rules : {"auto", "generic", "gastromap"}
    budget_gb : float, optional
        Largest size of the image in 10⁹ bytes; by default 1.6 for GastroMAP, and none for others.
    study : Path, optional
        DICOM study for the runs; a synthetic one by default.
    engine : str
        Command of the engine.
    environment : mapping, optional
        Added to the environment of that command: DOCKER_HOST of a private engine.
    timeout_s : float
        Longest run of a container.
    run_entrypoint : bool
        Whether to run the entrypoint of a build context.

    Returns
    -------
    CheckReport
        Its ``exit_code`` says whether the package conforms.

    Raises
    ------
    UsageError
        ``NOTHING_TO_CHECK``, ``TREE_MISSING``, ``TREE_UNKNOWN``, ``STUDY_MISSING``.
    """
    if image is None and tree is None and not deploy:
        raise UsageError(
            "NOTHING_TO_CHECK",
            where="check-map",
            expected="an image, --tree or --deploy",
            got="none",
            remedy="See gastromap check-map --help.",
        )
    if study is not None and not study.is_dir():
        raise UsageError(
            "STUDY_MISSING", where="--input", expected="a folder", got="none", remedy="Name a folder of DICOM files."
        )
    parts: list[CheckPart] = []
    found = find_tree(tree) if tree is not None else None
    profile: Profile = "generic" if rules == "auto" else rules
    if found is not None:
        profile = profile_of(found) if rules == "auto" else rules
        parts += check_tree(found, profile, run_entrypoint=run_entrypoint)
    if deploy:
        parts.append(check_deployment(deploy, None if found is None else _version(found)))
    if image is not None:
        from gastromap.packaging.check_image import check_image

        profile, of_image = check_image(
            image,
            rules=rules,
            budget_gb=budget_gb,
            study=study,
            command=engine,
            environment=environment,
            timeout_s=timeout_s,
        )
        parts += of_image
    names = [image, None if tree is None else str(tree), *(path.name for path in deploy)]
    return CheckReport(", ".join(name for name in names if name), profile, tuple(parts))


def _version(tree: MapTree) -> object:
    app = read_json(tree.app_manifest, tree.name(tree.app_manifest), Source.SPECIFICATION)
    return app.get("version") if isinstance(app, dict) else None
