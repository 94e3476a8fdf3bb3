"""Words for node metastasis, death and the parts of a split; letter case, width and blanks do not matter."""

from __future__ import annotations

from typing import Final

__all__ = ["LABEL_WORDS", "PART_WORDS"]

_YES: Final = ("1", "true", "yes", "y", "ja", "是", "有")
_NO: Final = ("0", "false", "no", "n", "nein", "否", "无")
_POSITIVE: Final = ("+", "(+)", "positive", "pos", "metastasis", "n+", "n(+)", "阳性", "转移")
_NEGATIVE: Final = ("-", "(-)", "negative", "neg", "no metastasis", "n-", "n(-)", "阴性", "未转移", "无转移")
_DEAD: Final = ("dead", "died", "deceased", "death", "event", "死亡", "已死亡", "亡", "已故")
_ALIVE: Final = ("alive", "living", "censored", "no event", "存活", "生存", "健在", "在世", "未死亡", "删失")

LABEL_WORDS: Final = {
    "lnm": {**dict.fromkeys((*_YES, *_POSITIVE), 1), **dict.fromkeys((*_NO, *_NEGATIVE), 0)},
    "death": {**dict.fromkeys((*_YES, *_DEAD), 1), **dict.fromkeys((*_NO, *_ALIVE), 0)},
}

_TEST: Final = ("test", "testing", "external", "external test", "external validation", "测试", "测试集", "外部验证")
_VALIDATION: Final = ("validation", "val", "valid", "internal validation", "dev", "验证", "验证集", "内部验证")
_TRAINING: Final = ("training", "train", "tr", "训练", "训练集", "训练组")

PART_WORDS: Final = {
    **dict.fromkeys(_TRAINING, "training"),
    **dict.fromkeys(_VALIDATION, "validation"),
    **dict.fromkeys(_TEST, "test"),
}
