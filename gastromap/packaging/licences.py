"""Which licences may be in the image, and which licence each package has.

Taken from the package's own metadata where that is an SPDX expression. Where it is not, somebody has read the licence
text: the result stands in ``READ`` with what was read. A package that is in neither place stops the build, and so does
a licence that is not on the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gastromap.packaging.configuration import PackagingError

__all__ = ["ALLOWED", "BY_NAME", "READ", "READ_SYSTEM", "Licence", "check_licences", "is_allowed", "licence_of"]

#: Permissive licences, as SPDX names them, and two exceptions that permit linking without conditions.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Open-MPI",
        "BSL-1.0", "CC0-1.0", "FTL", "GPL-3.0-or-later WITH GCC-exception-3.1", "HPND", "IJG", "ISC", "Libpng",
        "X11", "libtiff", "MIT", "MIT-0",
        "MIT-CMU", "OpenSSL", "PSF-2.0", "Python-2.0", "SSLeay-standalone", "Unlicense", "Zlib", "ZPL-2.1", "blessing",
        "bzip2-1.0.6", "LicenseRef-public-domain", "LicenseRef-Bitstream-Vera",
    }
)  # fmt: skip
#: Not permissive, for the named packages only (a star ends a prefix); docs/packaging.md says why.
BY_NAME: Mapping[str, frozenset[str]] = {
    "LicenseRef-NVIDIA-Proprietary": frozenset({"nvidia-*", "holoscan-cu13"}),
    "LGPL-2.1-or-later": frozenset({"libc6", "libc-bin", "numpy", "scipy"}),
    "MPL-2.0": frozenset({"certifi", "grpcio", "ml-dtypes"}),
}


@dataclass(frozen=True)
class Licence:
    """Licence of a package, and what says so."""

    expression: str  #: SPDX
    evidence: str


def _read(expression: str, evidence: str) -> Licence:
    return Licence(expression, evidence)


_FILE = "LICENSE in the wheel"
_GCC = "GPL-3.0-or-later WITH GCC-exception-3.1"
#: LAPACK, libgfortran, libquadmath: they lie beside OpenBLAS in the wheels of NumPy and SciPy.
_OPENBLAS = f"BSD-3-Clause-Open-MPI AND {_GCC} AND LGPL-2.1-or-later"

#: Python packages whose metadata do not say it as an SPDX expression, or say less than lies in the wheel.
READ: Mapping[str, Licence] = {
    "colorama": _read("BSD-3-Clause", _FILE),
    "contourpy": _read("BSD-3-Clause", _FILE),
    "dicomweb-client": _read("MIT", _FILE),
    "holoscan-cu13": _read(
        "Apache-2.0 AND LicenseRef-NVIDIA-Proprietary",
        "LICENSE.txt, and NVIDIA-AI-PRODUCT-EULA.txt beside it; NOTICE.txt puts GXF under Apache-2.0",
    ),
    "grpcio": _read(
        "Apache-2.0 AND BSD-3-Clause AND MPL-2.0", "LICENSE in the wheel; MPL for the list of certificates"
    ),
    "jinja2": _read("BSD-3-Clause", _FILE),
    "ml-dtypes": _read("Apache-2.0 AND MPL-2.0", "metadata, and LICENSE.eigen for Eigen's headers"),
    "monai": _read("Apache-2.0", _FILE),
    "monai-deploy-app-sdk": _read("Apache-2.0", _FILE),
    "mpmath": _read("BSD-3-Clause", _FILE),
    "numpy": _read(
        f"BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0 AND {_OPENBLAS}",
        "metadata, and LICENSE.txt on OpenBLAS, LAPACK, libgfortran and libquadmath in numpy.libs",
    ),
    "nvidia-cusparselt-cu13": _read("LicenseRef-NVIDIA-Proprietary", "LICENSE.txt in the wheel"),
    "nvidia-nvtx": _read("Apache-2.0", "licence field; LICENSE.txt in the wheel"),
    "pillow": _read(
        "MIT-CMU AND MIT AND FTL AND IJG AND BSD-3-Clause AND BSD-2-Clause AND libtiff AND X11 AND Zlib AND 0BSD",
        "metadata and sboms/ in the wheel; libimagequant (GPL) and FriBiDi (LGPL), also named there, are not in it",
    ),
    "protobuf": _read("BSD-3-Clause", _FILE),
    "pydicom": _read("MIT", _FILE),
    "pynetdicom": _read("MIT", _FILE),
    "python-gdcm": _read(
        "Apache-2.0 AND BSD-3-Clause AND OpenSSL",
        "metadata for the wrapper, GDCM's own licence, OpenSSL 1.1.1 in python_gdcm.libs",
    ),
    "python-rapidjson": _read("MIT", _FILE),
    "reportlab": _read("BSD-3-Clause AND LicenseRef-Bitstream-Vera", "LICENSE; fonts under the GPL are taken out"),
    "scipy": _read(
        f"BSD-3-Clause AND {_OPENBLAS}",
        "LICENSE.txt, with OpenBLAS, LAPACK, libgfortran and libquadmath in scipy.libs",
    ),
    "sympy": _read("BSD-3-Clause", _FILE),
    "torch": _read(
        "Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSD-2-Clause AND BSD-3-Clause AND BSL-1.0 AND MIT AND "
        + _GCC,
        "metadata, and libgomp in torch/lib",
    ),
}

_DEBIAN = "/usr/share/doc/{}/copyright"

#: Debian source packages whose files may lie in the image, by the licence of the parts that are shipped.
READ_SYSTEM: Mapping[str, Licence] = {
    "base-files": _read("LicenseRef-public-domain", "texts that name the system, no program"),
    "bzip2": _read("bzip2-1.0.6", _DEBIAN.format("libbz2-1.0")),
    "cpython": _read("PSF-2.0", "LICENSE of Python"),
    "dash": _read("BSD-3-Clause", _DEBIAN.format("dash") + "; GPL is one program that only its build runs"),
    "expat": _read("MIT", _DEBIAN.format("libexpat1")),
    "gcc-12": _read(_GCC, _DEBIAN.format("gcc-12-base") + ": runtime libraries"),
    "gcc-13": _read(_GCC, "/usr/share/doc/gcc-13-base/copyright: runtime libraries"),
    "gcc-14": _read(_GCC, "/usr/share/doc/gcc-14-base/copyright: runtime libraries"),
    "glibc": _read("LGPL-2.1-or-later", _DEBIAN.format("libc6") + ": libraries and the loader, none of the programs"),
    "libffi": _read("MIT", _DEBIAN.format("libffi8")),
    "openssl": _read("Apache-2.0", _DEBIAN.format("libssl3")),
    "python3-defaults": _read("PSF-2.0", _DEBIAN.format("python3-minimal") + ": a link"),
    "python3.10": _read("PSF-2.0", _DEBIAN.format("libpython3.10-stdlib")),
    "python3.11": _read("PSF-2.0", _DEBIAN.format("libpython3.11-stdlib")),
    "python3.12": _read("PSF-2.0", _DEBIAN.format("libpython3.12-stdlib")),
    "sqlite3": _read("blessing", _DEBIAN.format("libsqlite3-0")),
    "tzdata": _read("LicenseRef-public-domain", _DEBIAN.format("tzdata")),
    "util-linux": _read("BSD-3-Clause", _DEBIAN.format("libuuid1") + ": libuuid alone"),
    "xz-utils": _read("LicenseRef-public-domain", _DEBIAN.format("liblzma5") + ": liblzma alone"),
    "zlib": _read("Zlib", _DEBIAN.format("zlib1g")),
}


def licence_of(distribution: Mapping[str, Any]) -> Licence | None:
    """Licence of a Python distribution or system package as the inventory describes it; None if nobody knows it.

    Parameters
    ----------
    distribution : mapping
        An entry of ``distributions`` (``name``, ``license_expression``, ``license``) or of ``packages`` (``name``,
        ``source``, ``kind``).
    """
    if "kind" in distribution:
        return READ_SYSTEM.get(str(distribution.get("source") or distribution["name"]))
    known = READ.get(str(distribution["name"]).lower().replace("_", "-"))
    if known is not None:
        return known
    for field, evidence in (("license_expression", "License-Expression"), ("license", "License")):
        text = str(distribution.get(field) or "")
        if text and _terms(text):
            return Licence(text, f"metadata, {evidence}")
    return None


def is_allowed(expression: str, *, name: str) -> bool:
    """Whether every part of a licence expression is on the list, or one side of each OR.

    Parameters
    ----------
    expression : str
        SPDX.
    name : str
        Of the package, for what is allowed by name.
    """
    tree = _parse(expression)
    return tree is not None and _holds(tree, name.lower().replace("_", "-"))


def _holds(tree: Any, name: str) -> bool:
    operator = getattr(tree, "operator", "").strip()
    if operator in {"AND", "OR"}:
        return (all if operator == "AND" else any)(_holds(part, name) for part in tree.args)
    term = str(tree)
    return term in ALLOWED or any(fnmatchcase(name, pattern) for pattern in BY_NAME.get(term, ()))


def _parse(expression: str) -> Any:
    from license_expression import ExpressionError, get_spdx_licensing

    try:
        return get_spdx_licensing().parse(expression)
    except (ExpressionError, AttributeError, TypeError):
        return None


def _terms(expression: str) -> bool:
    """Whether a text is an expression of licences that SPDX or the lists here know."""
    from license_expression import get_spdx_licensing

    tree = _parse(expression)
    if tree is None:
        return False
    own = ALLOWED | set(BY_NAME)
    return all(str(term) in own for term in get_spdx_licensing().unknown_license_symbols(tree))


def check_licences(entries: Iterable[Mapping[str, Any]]) -> dict[str, Licence]:
    """Judge all packages of an inventory.

    Returns
    -------
    dict of str to Licence
        By package name.

    Raises
    ------
    PackagingError
        ``LICENCE_UNCLEAR`` if nothing says what the licence is, ``LICENCE_REFUSED`` if it is not on the list; all such
        packages are named.
    """
    found: dict[str, Licence] = {}
    unclear: list[str] = []
    refused: list[str] = []
    for entry in entries:
        name = str(entry["name"])
        licence = licence_of(entry)
        if licence is None:
            unclear.append(name)
        elif not is_allowed(licence.expression, name=name):
            refused.append(f"{name} ({licence.expression})")
        else:
            found[name] = licence
    if refused:
        raise PackagingError(
            "LICENCE_REFUSED",
            where="image",
            expected="licences of the allow-list in gastromap/packaging/licences.py",
            got=", ".join(refused),
            remedy="Take the packages out of packaging/requirements.txt, or the files out of the base.",
        )
    if unclear:
        raise PackagingError(
            "LICENCE_UNCLEAR",
            where="image",
            expected="a licence for each package",
            got=f"none for {', '.join(unclear)}",
            remedy="Read the licence text and add it to gastromap/packaging/licences.py with the evidence.",
        )
    return found
