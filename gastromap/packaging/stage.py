"""The build context of the image, in the layout of NVIDIA's packager, so that one Dockerfile serves both builds.

================  ==================================================================
``app/``          packages app, operators, gastromap; ``__main__.py``; requirements.txt
``models/NAME/``  each folder of ``bundles/`` that has ``configs/``
``map/``          app.json, pkg.json
``app.config``    MAP.yaml
``docs/``         README, LICENSE, the manual; later the bill of materials
``pip/``          requirements.txt
``tools``         entrypoint
``image/``        what runs in the first stage of the Dockerfile
``wheelhouse/``   the wheels
``Dockerfile``
================  ==================================================================
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gastromap.errors import UsageError
from gastromap.model_card import CARD_NAME, WEIGHTS_NAME
from gastromap.packaging.configuration import MapConfiguration, PackagingError, read_configuration
from gastromap.packaging.manifests import Flavour, write_manifests
from gastromap.packaging.tree import normalise, source_date_epoch, tree_digest

__all__ = ["EXECUTABLES", "PACKAGES", "REPOSITORY", "StagedContext", "stage"]

#: The checkout that this package lies in.
REPOSITORY = Path(__file__).resolve().parents[2]
#: Packages of the application.
PACKAGES = ("app", "gastromap", "operators")
#: Files of the context that are programs.
EXECUTABLES = ("tools",)
_CODE = {".py", ".json", ".cpp", ".yaml", ".html", ".css", ".js", ".po", ".ttf", ".md", ".typed"}
#: What a bundle consists of; training leaves other folders beside it.
_BUNDLE_PARTS = ("configs", "docs", "models", "scripts", "LICENSE")
_BUNDLE_FILES = {".json", ".yaml", ".yml", ".conf", ".md", ".txt", ".py", ".pt", ".ts", ""}
_SKIPPED = {"__pycache__", "tests", "eval"}
# The same code as `python -m app`, its ending included.
_MAIN = '''"""Start of the application in the image."""

import runpy

runpy.run_module("app", run_name="__main__", alter_sys=True)
'''


@dataclass(frozen=True)
class StagedContext:
    """A build context on disk."""

    folder: Path
    configuration: MapConfiguration
    models: tuple[str, ...]  #: folders below ``models/``
    digest: str  #: of the tree, without the wheels


def stage(out: Path, *, flavour: Flavour, wheels: Path | None = None, repository: Path = REPOSITORY) -> StagedContext:
    """Write the build context.

    Parameters
    ----------
    out : Path
        Folder to make; an earlier context in it is replaced.
    flavour : {"cpu", "gpu"}
    wheels : Path, optional
        Folder of wheels to copy; none for a context that is only looked at.
    repository : Path
        The checkout.

    Raises
    ------
    UsageError
        ``CONTEXT_EXISTS`` if ``out`` holds something else; ``MAP_CONFIG``, ``VERSION_INVALID``, ``VERSION_DIFFERS``.
    PackagingError
        ``NOT_A_CHECKOUT``, ``NO_MODELS``, ``MODEL_NEEDS_MORE``, ``DICOM_IN_CONTEXT``.
    """
    if not (repository / "packaging" / "Dockerfile").is_file():
        raise PackagingError(
            "NOT_A_CHECKOUT",
            where="packaging",
            expected="a checkout of GastroMAP with packaging/Dockerfile",
            got="none",
            remedy="Run the command from a checkout: bundles and Dockerfile are not in the Python package.",
        )
    configuration = read_configuration(repository / "MAP.yaml")
    _clear(out)
    _application(repository, out / "app")
    models = _models(repository / "bundles", out / "models")
    weighted = [name for name in models if (out / "models" / name / "models" / WEIGHTS_NAME).is_file()]
    write_manifests(out / "map", configuration, flavour=flavour, models=weighted)
    _copy(repository / "MAP.yaml", out / "app.config")
    _copy(repository / "packaging" / "Dockerfile", out / "Dockerfile")
    _copy(repository / "packaging" / "entrypoint.sh", out / "tools")
    _copy(repository / "packaging" / "requirements.txt", out / "pip" / "requirements.txt")
    for source in sorted((repository / "packaging" / "image").glob("*.py")):
        _copy(source, out / "image" / source.name)
    for source in (repository / "README.md", repository / "LICENSE", *sorted((repository / "docs").glob("*.md"))):
        _copy(source, out / "docs" / source.name)
    _refuse_dicom(out)
    normalise(out, epoch=source_date_epoch(), executable=EXECUTABLES)
    digest = tree_digest(out)
    # Thousands of files of libraries would hide what of the digest is ours; the SBOM holds theirs.
    (out / "wheelhouse").mkdir()
    for wheel in sorted(wheels.glob("*.whl")) if wheels is not None else ():
        _copy(wheel, out / "wheelhouse" / wheel.name)
    normalise(out, epoch=source_date_epoch(), executable=EXECUTABLES)
    return StagedContext(out, configuration, tuple(models), digest)


def _clear(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / "app.config").is_file():
        raise UsageError(
            "CONTEXT_EXISTS",
            where="context",
            expected="an empty folder or an earlier build context",
            got="other files",
            remedy="Name another folder.",
        )
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def _application(repository: Path, target: Path) -> None:
    for package in PACKAGES:
        for source in _files(repository / package):
            if source.suffix in _CODE:
                _copy(source, target / source.relative_to(repository))
    _copy(repository / "packaging" / "requirements.txt", target / "requirements.txt")
    (target / "__main__.py").write_text(_MAIN, encoding="utf-8")


def _models(bundles: Path, target: Path) -> list[str]:
    names = sorted(folder.name for folder in bundles.glob("*") if (folder / "configs" / "metadata.json").is_file())
    if not names:
        raise PackagingError(
            "NO_MODELS",
            where="bundles",
            expected="a folder with configs/metadata.json",
            got="none",
            remedy="Restore bundles/.",
        )
    for name in names:
        for part in _BUNDLE_PARTS:
            source = bundles / name / part
            for file in [source] if source.is_file() else _files(source):
                if file.suffix in _BUNDLE_FILES:
                    _copy(file, target / file.relative_to(bundles))
        _refuse_bias_correction(target / name / "models" / CARD_NAME)
    return names


def _refuse_bias_correction(card: Path) -> None:
    """The one option of a model that needs a package the image has not: better known now than at the first study."""
    if card.is_file() and json.loads(card.read_text(encoding="utf-8")).get("preprocessing", {}).get("bias_correction"):
        raise PackagingError(
            "MODEL_NEEDS_MORE",
            where="bundles",
            expected="preprocessing without bias correction",
            got="a model with it",
            remedy="Add simpleitk to packaging/requirements.txt and take this check out, or publish without it.",
        )


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, hidden ones and those of tests and caches left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in _SKIPPED or part.startswith(".") for part in parts):
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _refuse_dicom(root: Path) -> None:
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        with path.open("rb") as stream:
            if path.suffix.lower() in {".dcm", ".ima"} or stream.read(132)[128:] == b"DICM":
                raise PackagingError(
                    "DICOM_IN_CONTEXT",
                    where="build context",
                    expected="no images in a package",
                    got="a DICOM file",
                    remedy="Take DICOM files out of app, operators, gastromap, bundles and docs.",
                )
