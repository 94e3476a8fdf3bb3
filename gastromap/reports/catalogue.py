"""The catalogue of texts: English is the key, other languages lie beside this module as gettext files (``zh.po``).

A text without a translation stays English; a test holds that there is none in the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from gastromap.text import Text

__all__ = ["LANGUAGES", "Language", "known", "say", "translations"]

Language = Literal["en", "zh"]
#: Languages of the reports with their own names, the language of the keys first.
LANGUAGES: Final[Mapping[Language, str]] = {"en": "English", "zh": "中文"}


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: Language) -> Mapping[str, str]:
    """Templates of a language by English template; empty for English."""
    if language == "en":
        return {}
    import polib

    entries = polib.pofile(str(Path(__file__).with_name(f"{language}.po")))
    return {entry.msgid: entry.msgstr for entry in entries if entry.msgstr and not entry.obsolete}


def say(text: str, language: Language) -> str:
    """Return a text in a language; a string that is no :class:`Text` is foreign and stays as it is."""
    if not isinstance(text, Text) or language == "en":
        return str(text)
    template = translations(language).get(text.template, text.template)
    values = {
        name: say(known(value), language) if isinstance(value, str) else value for name, value in text.values.items()
    }
    return template.format(**values)


def known(words: str) -> str:
    """Return fixed words of another module as :class:`Text` where the catalogue has them."""
    if isinstance(words, Text) or "{" in words or words not in translations("zh"):
        return words
    return Text(words)
