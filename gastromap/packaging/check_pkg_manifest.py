"""``pkg.json``: the tables of the MAP specification 1.0.0, and the models it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_layout import Profile
from gastromap.packaging.check_reading import shown
from gastromap.packaging.configuration import is_semver

__all__ = ["check_models", "check_pkg_manifest", "model_paths"]

_SIZE = re.compile(r"\d+(\.\d)?(Mi|Gi)")
_SIZES = ("memory", "gpuMemory", "sharedMemory")
_LONGEST_NAME_BYTES = 128
#: ``platformConfig`` is not in the specification; NVIDIA's runner wants it.
_KEYS = frozenset({"apiVersion", "applicationRoot", "modelRoot", "models", "resources", "version", "platformConfig"})
_WEIGHTS = (".pt", ".ts", ".pth", ".onnx", ".safetensors", ".plan", ".engine")
_PICKLES = (".pkl", ".pickle", ".joblib")

_error = partial(Finding, level="error", file="pkg.json", source=Source.SPECIFICATION)
_warning = partial(Finding, level="warning", file="pkg.json", source=Source.SPECIFICATION)


def check_pkg_manifest(pkg: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the content of ``pkg.json``, models on disk apart."""
    for name, needed in (("applicationRoot", True), ("modelRoot", False)):
        value = pkg.get(name)
        if value is None and not needed:
            continue
        if not isinstance(value, str) or not value.startswith("/"):
            yield _error("pkg-root", field=name, expected="an absolute path", found=shown(value))
    if "version" in pkg and not is_semver(pkg["version"]):
        yield _error("pkg-version", field="version", expected="a semantic version", found=shown(pkg.get("version")))
    if "apiVersion" in pkg and not is_semver(pkg["apiVersion"]):
        yield _error("pkg-api", field="apiVersion", expected="a semantic version", found=shown(pkg["apiVersion"]))
    yield from _models(pkg.get("models", []))
    resources = pkg.get("resources", {})
    if isinstance(resources, Mapping):
        yield from _resources(resources, "resources")
    else:
        yield _error("pkg-resources", field="resources", expected="an object", found=shown(resources))
    for name in sorted(set(pkg) - _KEYS):
        kind = "a key of releases 0.x" if "-" in name else "a key outside the specification"
        yield _warning("pkg-key", field=name, expected="keys of the specification", found=kind)


def _models(models: object) -> Iterator[Finding]:
    if isinstance(models, Mapping):
        yield _error("pkg-models-list", field="models", expected="a list of name and path", found="an object")
        return
    if not isinstance(models, list):
        yield _error("pkg-models", field="models", expected="a list of name and path", found=shown(models))
        return
    seen: set[str] = set()
    for index, model in enumerate(models):
        field = f"models[{index}]"
        if not isinstance(model, Mapping) or not all(isinstance(model.get(key), str) for key in ("name", "path")):
            yield _error("pkg-models", field=field, expected="name and path as text", found=shown(model))
            continue
        name = model["name"]
        if not name or len(name.encode()) > _LONGEST_NAME_BYTES or re.search(r"\s", name):
            yield _error(
                "pkg-model-name", field=f"{field}.name", expected="1 to 128 bytes, no space", found=shown(name)
            )
        if name in seen:
            yield _error("pkg-model-name", field=f"{field}.name", expected="each name once", found=shown(name))
        seen.add(name)


def _resources(resources: Mapping[str, Any], field: str) -> Iterator[Finding]:
    for name, value in resources.items():
        plain = name.removesuffix("Limit")
        where = f"{field}.{name}"
        if plain in _SIZES:
            if not isinstance(value, str) or not _SIZE.fullmatch(value):
                yield _error("pkg-size", field=where, expected="Mi or Gi, at most one decimal", found=shown(value))
        elif plain == "gpu" or plain == "cpu":
            least = 1 if plain == "cpu" else 0
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                yield _error("pkg-count", field=where, expected=f"a number from {least}", found=shown(value))
        elif name == "fragments" and isinstance(value, Mapping):
            for fragment, inner in value.items():
                if isinstance(inner, Mapping):
                    yield from _resources(inner, f"{where}.{fragment}")
        else:
            yield _warning("pkg-resource", field=where, expected="a resource of the specification", found="another")


def model_paths(pkg: Mapping[str, Any]) -> dict[str, PurePosixPath]:
    """Give each model's path below the model root, whichever way the manifest lists the models."""
    models, root = pkg.get("models", []), str(pkg.get("modelRoot") or "/opt/holoscan/models/")
    if isinstance(models, Mapping):
        pairs = [(str(name), str(path)) for name, path in models.items()]
    elif isinstance(models, list):
        pairs = [(str(item["name"]), str(item["path"])) for item in models if _named(item)]
    else:
        pairs = []
    return {name: PurePosixPath(path.removeprefix(root).lstrip("/")) for name, path in pairs}


def _named(item: object) -> bool:
    return isinstance(item, Mapping) and "name" in item and "path" in item


def check_models(pkg: Mapping[str, Any], folder: Path, profile: Profile) -> Iterator[Finding]:
    """Hold the models of ``pkg.json`` against the folder of models.

    Parameters
    ----------
    pkg : mapping
    folder : Path
        What stands at ``modelRoot`` in the image.
    profile : {"generic", "gastromap"}
        GastroMAP's models are MONAI bundles: ``configs/metadata.json`` and weights.
    """
    listed = model_paths(pkg)
    for name, path in listed.items():
        place = folder.joinpath(*path.parts)
        where = f"models/{path}"
        if ".." in path.parts or not place.exists():
            yield _error("model-missing", field=f"models: {name}", expected=where, found="none")
        elif profile == "gastromap" or (place / "configs").is_dir():
            yield from _bundle(place, where, profile)
        elif place.is_dir() and not any(item.is_file() for item in place.rglob("*")):
            yield _error("model-empty", field=f"models: {name}", expected="files", found="an empty folder")
    if not folder.is_dir():
        return
    used = {path.parts[0] for path in listed.values() if path.parts}
    for item in sorted(folder.iterdir()):
        if item.is_dir() and item.name not in used and "" not in used and listed:
            yield _warning("model-unlisted", field=f"models/{item.name}", expected="listed in models", found="not")
        elif item.is_file() and any(other.is_dir() for other in folder.iterdir()):
            yield _warning(
                "model-loose-file",
                field=f"models/{item.name}",
                expected="folders only",
                found="a file, for which the packager adds the whole folder as one more model",
                source=Source.HOLOSCAN,
            )


def _bundle(place: Path, where: str, profile: Profile) -> Iterator[Finding]:
    wrong = partial(Finding, level="error", source=Source.BUNDLE, field="")
    if not (place / "configs" / "metadata.json").is_file():
        yield wrong("bundle-metadata", file=where, expected="configs/metadata.json", found="none")
    weights = [item for item in place.rglob("*") if item.suffix in _WEIGHTS and item.is_file()]
    if not any(item.stat().st_size for item in weights):
        yield wrong("bundle-weights", file=where, expected="weights", found="none" if not weights else "an empty file")
    if profile == "gastromap":
        for item in sorted(place.rglob("*")):
            if item.name.endswith(_PICKLES):
                name = f"{where}/{item.relative_to(place).as_posix()}"
                yield wrong("bundle-pickle", file=name, expected="no pickle", found="one", source=Source.GASTROMAP)
