"""Where the parts of a package lie: in a build context, in what ``extract`` copied, or in the files of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gastromap.errors import UsageError

__all__ = ["MapTree", "Profile", "TreeKind", "find_tree", "profile_of"]

#: ``context``: staged for a build; ``extract``: copied out of a running image; ``image``: the image's own paths.
TreeKind = Literal["context", "extract", "image"]
#: ``gastromap`` adds the rules GastroMAP sets itself; ``generic`` holds any MAP to the specification.
Profile = Literal["generic", "gastromap"]


@dataclass(frozen=True)
class MapTree:
    """Paths of a package's parts; they need not exist, the checks say so."""

    root: Path
    kind: TreeKind
    app: Path
    models: Path
    docs: Path
    app_manifest: Path
    pkg_manifest: Path
    config: Path
    requirements: tuple[Path, ...]
    dockerfile: Path | None = None
    entrypoint: Path | None = None

    def name(self, path: Path) -> str:
        """Give a path as it stands in findings: below the tree."""
        return path.relative_to(self.root).as_posix()


def find_tree(root: Path) -> MapTree:
    """Recognise the layout of a folder.

    Parameters
    ----------
    root : Path
        A staged build context (``map/``, ``app/``, ``Dockerfile``), a folder that ``extract`` filled (``config/``,
        ``app/``) or the files of an image (``etc/holoscan/``, ``opt/holoscan/``).

    Raises
    ------
    UsageError
        ``TREE_MISSING`` if it is no folder, ``TREE_UNKNOWN`` if it looks like none of the three.
    """
    if not root.is_dir():
        raise UsageError(
            "TREE_MISSING", where="--tree", expected="a folder", got="none", remedy="Name a folder of a package."
        )
    root = root.resolve()
    if (root / "etc" / "holoscan").is_dir():
        return _of_image(root)
    if (root / "map").is_dir() or (root / "Dockerfile").is_file():
        return _of_context(root)
    if (root / "config").is_dir():
        return _of_extract(root)
    raise UsageError(
        "TREE_UNKNOWN",
        where="--tree",
        expected="map/ and app/ (build context), config/ and app/ (extracted), or etc/holoscan/ (files of an image)",
        got="none of these folders",
        remedy="Stage a context, or run the image with extract and a folder mounted at /var/run/holoscan/export.",
    )


def profile_of(tree: MapTree) -> Profile:
    """Tell by its packages whether the application is GastroMAP."""
    return "gastromap" if (tree.app / "gastromap" / "__init__.py").is_file() else "generic"


def _of_image(root: Path) -> MapTree:
    app, tools = root / "opt" / "holoscan" / "app", root / "var" / "holoscan" / "tools"
    return MapTree(
        root=root,
        kind="image",
        app=app,
        models=root / "opt" / "holoscan" / "models",
        docs=root / "opt" / "holoscan" / "docs",
        app_manifest=root / "etc" / "holoscan" / "app.json",
        pkg_manifest=root / "etc" / "holoscan" / "pkg.json",
        config=root / "var" / "holoscan" / "app.yaml",
        requirements=(app / "requirements.txt",),
        entrypoint=tools if tools.is_file() else None,
    )


def _of_context(root: Path) -> MapTree:
    return MapTree(
        root=root,
        kind="context",
        app=root / "app",
        models=root / "models",
        docs=root / "docs",
        app_manifest=root / "map" / "app.json",
        pkg_manifest=root / "map" / "pkg.json",
        config=root / "app.config",
        requirements=(root / "pip" / "requirements.txt", root / "app" / "requirements.txt"),
        dockerfile=root / "Dockerfile",
        entrypoint=root / "tools",
    )


def _of_extract(root: Path) -> MapTree:
    return MapTree(
        root=root,
        kind="extract",
        app=root / "app",
        models=root / "models",
        docs=root / "docs",
        app_manifest=root / "config" / "app.json",
        pkg_manifest=root / "config" / "pkg.json",
        config=root / "config" / "app.yaml",
        requirements=(root / "app" / "requirements.txt",),
    )
