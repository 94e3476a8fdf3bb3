"""``requirements.txt`` of a package: exact versions, what Holoscan needs and forgets, what has no place in an image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gastromap.packaging.check_findings import Finding, Source
from gastromap.packaging.check_layout import Profile

__all__ = ["check_requirements", "pinned_versions"]

#: GPL-3, or for training only, or needing what the CPU wheels do not bring.
_NOT_AT_RUN_TIME = {
    "scikit-survival": "GPL-3",
    "ecos": "GPL-3",
    "pytorch-ignite": "for training",
    "tensorboard": "for training",
    "mlflow": "for training",
    "mlflow-skinny": "for training",
    "pytest": "for tests",
    "ruff": "for development",
    "mypy": "for development",
}


def _parsed(text: str) -> Iterator[tuple[int, str, Requirement | None]]:
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if joined else number
        joined += line.rstrip("\\")
        if line.endswith("\\"):
            continue
        content, joined = joined.split(" #")[0].split(" --hash")[0].strip(), ""
        if not content or content.startswith("#"):
            continue
        try:
            yield start, content, None if content.startswith("-") else Requirement(content)
        except InvalidRequirement:
            yield start, content, None


def pinned_versions(text: str) -> dict[str, str]:
    """Give the exact versions of a requirements file, by normalised name."""
    pins = {}
    for _, _, requirement in _parsed(text):
        if requirement is not None and _pin(requirement) is not None:
            pins[str(canonicalize_name(requirement.name))] = str(_pin(requirement))
    return pins


def _pin(requirement: Requirement) -> str | None:
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in {"==", "==="} or specifiers[0].version.endswith(".*"):
        return None
    return specifiers[0].version


def check_requirements(text: str, name: str, profile: Profile, *, cpu: bool = True) -> Iterator[Finding]:
    """Yield what is wrong with a requirements file.

    Parameters
    ----------
    text : str
    name : str
        Its name in findings.
    profile : {"generic", "gastromap"}
    cpu : bool
        Whether it is that of an image without GPU, which has no torchvision.
    """
    error = partial(Finding, level="error", file=name)
    # The packager joins the lines of other lists to it.
    if text and not text.endswith("\n"):
        yield error(
            "requirements-newline", field="last line", expected="a line end", found="none", source=Source.HOLOSCAN
        )
    names: dict[str, int] = {}
    for number, content, requirement in _parsed(text):
        where = f"line {number}"
        if requirement is None:
            found = "an option" if content.startswith("-") else "something else"
            yield error(
                "requirements-line", field=where, expected="name==version", found=found, source=Source.HARDENING
            )
            continue
        key = str(canonicalize_name(requirement.name))
        if requirement.url is not None:
            yield error(
                "requirements-pin", field=key, expected="name==version", found="an address", source=Source.HARDENING
            )
        elif _pin(requirement) is None:
            found = str(requirement.specifier) or "no version"
            yield error(
                "requirements-pin", field=key, expected="one exact version", found=found, source=Source.HARDENING
            )
        if key in names and str(requirement.marker or "") == "":
            yield error(
                "requirements-twice",
                field=key,
                expected="each package once",
                found=f"lines {names[key]} and {number}",
                source=Source.HARDENING,
            )
        names.setdefault(key, number)
    yield from _of_holoscan(names, name)
    if profile == "gastromap":
        unwanted = dict(_NOT_AT_RUN_TIME, **({"torchvision": "not used"} if cpu else {}))
        for key in sorted(set(names) & set(unwanted)):
            yield error(
                "requirements-unwanted",
                field=key,
                expected="inference only",
                found=unwanted[key],
                source=Source.GASTROMAP,
            )


def _of_holoscan(names: dict[str, int], name: str) -> Iterator[Finding]:
    error = partial(Finding, level="error", file=name, source=Source.SDK)
    if "monai-deploy-app-sdk" in names and not names.keys() & {"holoscan-cu13", "holoscan-cu12", "holoscan"}:
        yield error("requirements-holoscan", field="holoscan-cu13", expected="an exact version", found="none")
    if "holoscan-cu13" in names and "nvidia-cuda-runtime" not in names:
        # holoscan needs libcudart.so.13 on a CPU too, and no package brings it along.
        yield error("requirements-cudart", field="nvidia-cuda-runtime", expected="an exact version", found="none")
    if "holoscan-cli" in names:
        yield error(
            "requirements-cli",
            field="holoscan-cli",
            expected="an environment of its own, outside the image",
            found="a requirement",
        )
