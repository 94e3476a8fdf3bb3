"""What each centre writes into its headers: language, series numbers, descriptions, stored pixels.

Centre 1 describes its series in English, centre 2 in Chinese (GB18030), centre 3 leaves the axial contrast series
without a description: there the phase must come from the timing and the order of the acquisitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Habits", "habits_of"]


@dataclass(frozen=True)
class Habits:
    """Header habits of one centre."""

    charset: str
    study_description: str
    protocol: str
    ideographic_name: str
    series_numbers: Mapping[str, int]
    descriptions: Mapping[str, str]  #: format string with ``{mm}``; empty: the attribute is left out
    lung_kernel: str
    signed: bool  #: stored as signed HU; else unsigned 12 bit with intercept -1024


_HABITS: Final[dict[int, Habits]] = {
    1: Habits(
        charset="ISO_IR 100",
        study_description="SYNTHETIC CT Upper Abdomen with contrast",
        protocol="Stomach CE",
        ideographic_name="",
        series_numbers={
            "localizer": 1,
            "arterial": 2,
            "portal": 3,
            "lung": 4,
            "delayed": 5,
            "coronal": 6,
            "dose": 501,
        },
        descriptions={
            "localizer": "Scanogram",
            "arterial": "Abdomen Arterial {mm}",
            "portal": "Abdomen Portal Venous {mm}",
            "delayed": "Abdomen Delayed {mm}",
            "lung": "Lung {mm}",
            "coronal": "Portal Venous COR MPR {mm}",
            "dose": "Dose Report",
        },
        lung_kernel="FC52",
        signed=True,
    ),
    2: Habits(
        charset="GB18030",
        study_description="SYNTHETIC 上腹部增强CT",
        protocol="胃增强",
        ideographic_name="=合成^病例",
        series_numbers={
            "localizer": 1,
            "arterial": 201,
            "portal": 301,
            "lung": 302,
            "coronal": 303,
            "delayed": 401,
            "dose": 999,
        },
        descriptions={
            "localizer": "定位像",
            "arterial": "动脉期 {mm}mm",
            "portal": "门静脉期 {mm}mm",
            "delayed": "延迟期 {mm}mm",
            "lung": "肺窗 {mm}mm",
            "coronal": "门静脉期 冠状位 {mm}mm",
            "dose": "剂量报告",
        },
        lung_kernel="L",
        signed=False,
    ),
    3: Habits(
        charset="ISO_IR 192",
        study_description="SYNTHETIC CT abdomen",
        protocol="Abdomen",
        ideographic_name="",
        series_numbers={
            "localizer": 1,
            "arterial": 2,
            "portal": 3,
            "delayed": 4,
            "coronal": 5,
            "lung": 6,
            "dose": 1000,
        },
        descriptions={
            "localizer": "Surview",
            "arterial": "",
            "portal": "",
            "delayed": "",
            "lung": "LUNG",
            "coronal": "COR",
            "dose": "Dose Info",
        },
        lung_kernel="L",
        signed=False,
    ),
}


def habits_of(centre: int) -> Habits:
    """Header habits of centre 1, 2 or 3."""
    return _HABITS[centre]
