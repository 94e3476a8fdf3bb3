"""The phase votes: words, delays and order, each with the traps that have been met."""

from __future__ import annotations

import pytest

from gastromap.dicom_input.kernels import is_sharp_kernel, softness_rank
from gastromap.dicom_input.phase import dropped_by_text, text_vote
from gastromap.dicom_input.text import folded


class TestTextVote:
    @pytest.mark.parametrize(
        "text",
        [
            "Abd_PV_5.0",
            "PV5.0",
            "门脉期PV",
            "ＰＶ",
            "low dose PV",
            "Portal Venous 5mm",
            "PORT VEN",
            "abd ven",
            "静脉期",
            "腹部门静脉期薄层重建",
        ],
    )
    def test_portal_words_vote_portal(self, text: str) -> None:
        assert text_vote(folded(text)) == "portal"

    @pytest.mark.parametrize(
        "text",
        [
            "Arterial",
            "ABD_ART",
            "delayed 5min",
            "non-venous",
            "without PV",
            "plain",
            "Abd w/o portal",
            "动脉期",
            "平扫",
            "肺静脉期",
            "下肢静脉",
            "非门脉期",
            "non-contrast",
            "unenhanced",
        ],
    )
    def test_other_phases_and_negations_vote_other(self, text: str) -> None:
        assert text_vote(folded(text)) == "other"

    @pytest.mark.parametrize(
        "text",
        [
            "art+pv",
            "3 phase liver PV",
            "双期",
            "三期增强",
            "START",
            "PARTIAL",
            "iMAR",
            "dosage",
            "Abdomen 5.0",
            "150cc OMNIPAQUE)",
            "",
            "late arterial portal",
            "multiphasic PV",
            "invent",
            "Pelvis",
        ],
    )
    def test_several_phases_and_chance_letters_are_no_evidence(self, text: str) -> None:
        assert text_vote(folded(text)) == "no evidence"


class TestDroppedByText:
    @pytest.mark.parametrize(
        "text",
        ["Abd ART MPVR", "PV cor", "lung", "3D VRT", "Topogram", "Dose Report", "SmartPrep", "40keV", "冠状", "肺窗"],
    )
    def test_reformats_and_localizers_are_dropped(self, text: str) -> None:
        assert dropped_by_text(folded(text))

    @pytest.mark.parametrize("text", ["low dose PV", "重建", "薄层", "core PV", "Abd_PV_5.0", "dosage", "PV recon"])
    def test_neutral_words_are_kept(self, text: str) -> None:
        assert not dropped_by_text(folded(text))


class TestKernels:
    @pytest.mark.parametrize("kernel", ["B70f", "LUNG", "BONEPLUS", "FC52", "Br64f 3", "Bl57d"])
    def test_lung_and_bone_kernels_are_sharp(self, kernel: str) -> None:
        assert is_sharp_kernel(kernel)

    @pytest.mark.parametrize("kernel", ["B30f", "Br38f 3", "STANDARD", "FC08", None, "59 .10.AB50", "I31f"])
    def test_body_and_unknown_kernels_are_not(self, kernel: str | None) -> None:
        assert not is_sharp_kernel(kernel)

    def test_soft_comes_before_unknown_before_medium(self) -> None:
        assert softness_rank("B30f") < softness_rank("strange") < softness_rank("B50f") < softness_rank("B70f")
