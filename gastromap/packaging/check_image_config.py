"""What an engine knows of an image without starting it: labels, environment, user, size, history."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gastromap.packaging.check_dockerfile import check_version_labels, compare_environment, numeric_user
from gastromap.packaging.check_files import secret_text
from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_reading import as_mapping, shown

__all__ = ["check_history", "check_image_config"]

_TITLE, _VERSION = "org.opencontainers.image.title", "org.opencontainers.image.version"
_PLATFORMS = ("linux/amd64", "linux/arm64")
_SECRET_WORDS = re.compile(r"(password|passwd|secret|token|api_?key|credential)s?\b", re.IGNORECASE)
_INDEX = re.compile(
    r"PIP_(EXTRA_)?INDEX_URL|PIP_TRUSTED_HOST|--(extra-)?index-url|--trusted-host|pip config", re.IGNORECASE
)


def check_image_config(
    found: Mapping[str, Any], app: Mapping[str, Any], pins: Mapping[str, str], *, budget_bytes: float
) -> Iterator[Finding]:
    """Check the configuration of an image.

    Parameters
    ----------
    found : mapping
        What ``docker image inspect`` says.
    app : mapping
        ``app.json`` of the image.
    pins : mapping
        Exact versions of the image's requirements, for the labels that name versions.
    budget_bytes : float
        Largest size, unpacked.
    """
    config = as_mapping(found.get("Config"))
    error = partial(Finding, level="error", file="image", source=Source.SPECIFICATION)
    labels = as_mapping(config.get("Labels"))
    if not str(labels.get(_TITLE) or "").strip():
        yield error("label-title", field=f"label {_TITLE}", expected="a title", found="none")
    if labels.get(_VERSION) != app.get("version"):
        wanted = f"{shown(app.get('version'))} as in app.json"
        yield error("label-version", field=f"label {_VERSION}", expected=wanted, found=shown(labels.get(_VERSION)))
    platform = f"{found.get('Os')}/{found.get('Architecture')}"
    if platform not in _PLATFORMS:
        yield error("platform", field="platform", expected=" or ".join(_PLATFORMS), found=platform)
    yield from check_version_labels(labels, pins, "image")
    pairs = [str(item).partition("=") for item in config.get("Env") or []]
    variables = {name: value for name, _, value in pairs}
    yield from compare_environment(as_mapping(app.get("environment")), variables, "image")
    for name in sorted(variables):
        if _INDEX.search(name) or (_SECRET_WORDS.search(name) and variables[name]):
            found_ = "an index of packages" if _INDEX.search(name) else "a variable that names a secret"
            yield error("env-secret", field=f"ENV {name}", expected="none", found=found_, source=Source.HARDENING)
    complaint = numeric_user(str(config.get("User") or ""))
    if complaint:
        yield error(
            "image-user", field="USER", expected="a number other than 0", found=complaint, source=Source.HARDENING
        )
    if not config.get("Entrypoint") and not config.get("Cmd"):
        yield error("image-start", field="ENTRYPOINT", expected="a start of the application", found="none")
    size = float(found.get("Size") or 0)
    if size > budget_bytes:
        yield error(
            "image-size",
            field="size",
            expected=f"at most {budget_bytes / 1e9:.2f} GB",
            found=f"{size / 1e9:.2f} GB",
            source=Source.GASTROMAP,
        )


def check_history(lines: Sequence[str]) -> Iterator[Finding]:
    """Check that the commands of the layers name no package index and no secret."""
    for number, line in enumerate(lines):
        for pattern, what in ((_INDEX, "an index of packages"), (None, "a secret")):
            hit = secret_text(line.encode()) if pattern is None else pattern.search(line) is not None
            if hit:
                where = f"layer {len(lines) - number}"
                yield Finding("history-secret", "error", "image", f"history, {where}", "none", what, Source.HARDENING)
