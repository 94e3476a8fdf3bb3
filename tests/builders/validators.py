"""Other people's validators of DICOM objects."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gastromap.dicom_output.codes import PRIVATE_SCHEME_UID

#: Warnings of dciodvfy (2022-06-18) that are explained in the DICOM output design, section 8.
ALLOWED = (
    r"DeviceUID\(0018,1002\)> - Attribute is not present in standard DICOM IOD$",
    r"CodingSchemeDesignator\(0008,0102\)\[1\]> - Unrecognized defined term = <99GASTROMAP>$",
    rf"CodingSchemeUID\(0008,010c\)\[1\]> - Unrecognized defined term = <{re.escape(PRIVATE_SCHEME_UID)}>$",
    # Parametric Map: the term is newer than the tool.
    r"(ImageType\(0008,0008\)|FrameType\(0008,9007\))>?\[4\]> - Unrecognized defined term = <QUANTITY>$",
    # Type 2 attributes that an anonymised source leaves empty; the tool means file-sets on disk.
    r"Missing attribute or value that would be needed to build DICOMDIR$",
    r"Different information entities for attribute - Element=<AccessionNumber> IE <(Series|Study)> versus <S",
)


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (dicom3tools, dcmtk)")
    return subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )


def unexplained_warnings(path: Path) -> list[str]:
    """Errors and warnings of dciodvfy that are not allowed; an exit status other than 0 is one."""
    report = run("dciodvfy", "-new", path)
    lines = [line for line in report.stderr.splitlines() if "Error" in line or "Warning" in line]
    lines = [line for line in lines if not any(re.search(allowed, line) for allowed in ALLOWED)]
    return lines if report.returncode == 0 else [*lines, f"exit {report.returncode}"]
