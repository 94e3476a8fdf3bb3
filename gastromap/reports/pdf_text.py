"""Text on a PDF page in its language: Helvetica, else an embedded font, else CJK fonts of the viewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from gastromap.reports.catalogue import Language, say

__all__ = ["Ink", "TextPainter"]

#: Colour as red, green, blue from 0 to 1.
Ink = tuple[float, float, float]

#: Chinese and kana; what a PDF uses of it is in the PDF, so that it looks the same everywhere.
_EMBEDDED, _FILE = "DroidSansFallback", Path(__file__).parent / "fonts" / "DroidSansFallbackFull.ttf"
#: Fonts that a viewer brings or replaces, for what the embedded one lacks: Hangul above all.
_CJK = "STSong-Light"
_KANA = "HeiseiMin-W3"
_HANGUL = "HYSMyeongJo-Medium"
#: Closing marks that may not begin a line.
_CLOSING = frozenset("，。、；：！？）》」』”’％")


def _font_for(character: str, latin: str) -> str:
    try:
        character.encode("cp1252")
    except UnicodeEncodeError:
        pass
    else:
        return latin
    if ord(character) in _glyphs():
        return _EMBEDDED
    if "\u3040" <= character <= "\u30ff":
        return _KANA
    return _HANGUL if "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff" else _CJK


@cache
def _glyphs() -> frozenset[int]:
    """Code points of the embedded font, which is registered with the first of them."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    font = TTFont(_EMBEDDED, str(_FILE))
    pdfmetrics.registerFont(font)
    return frozenset(font.face.charToGlyph)


def _words(text: str) -> Iterator[str]:
    """Split for wrapping: at blanks, and between CJK characters, which have none."""
    word = ""
    for character in text:
        wide = ord(character) >= 0x2E80 and character not in _CLOSING
        if wide and word:
            yield word
            word = ""
        word += character
        if character == " ":
            yield word
            word = ""
    if word:
        yield word


@dataclass
class TextPainter:
    """Draws and measures text on a reportlab canvas; a :class:`gastromap.text.Text` is said in the language."""

    canvas: Any
    language: Language = "en"
    latin: str = "Helvetica"
    bold: str = "Helvetica-Bold"

    def _runs(self, text: str, font: str) -> list[tuple[str, str]]:
        # The minus sign is in no built-in font; an en dash has its width.
        text = text.replace("−", "–").replace("≥", ">=").replace("≤", "<=")
        return [(name, "".join(part)) for name, part in groupby(text, key=lambda c: _font_for(c, font))]

    def _register(self, font: str) -> None:
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont

        if font in (_CJK, _KANA, _HANGUL) and font not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(UnicodeCIDFont(font))

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Return the width of one line in points."""
        from reportlab.pdfbase.pdfmetrics import stringWidth

        total = 0.0
        for font, part in self._runs(say(text, self.language), self.bold if bold else self.latin):
            self._register(font)
            total += stringWidth(part, font, size)
        return total

    def line(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        bold: bool = False,
        ink: Ink = (0, 0, 0),
        align: str = "left",
    ) -> None:
        """Draw one line; ``align`` says where ``x`` lies: left, right or centre."""
        text = say(text, self.language)
        if align != "left":
            x -= self.width(text, size, bold=bold) * (1.0 if align == "right" else 0.5)
        self.canvas.setFillColorRGB(*ink)
        for font, part in self._runs(text, self.bold if bold else self.latin):
            self._register(font)
            # The CJK fonts have one weight; a thin outline makes them bold.
            heavy = bold and font != self.bold
            self.canvas.setStrokeColorRGB(*ink)
            self.canvas.setLineWidth(size * 0.03)
            self.canvas.setFont(font, size)
            self.canvas.drawString(x, y, part, mode=2 if heavy else 0)
            x += self.canvas.stringWidth(part, font, size)

    def wrap(self, text: str, size: float, width: float, *, bold: bool = False, lines: int = 99) -> list[str]:
        """Break a text into lines of at most ``width`` points; what does not fit in ``lines`` ends in an ellipsis."""
        text = say(text, self.language)
        out, current = [], ""
        for word in _words(" ".join(text.split())):
            candidate = current + word
            if current and self.width(candidate.rstrip(), size, bold=bold) > width:
                out.append(current.rstrip())
                candidate = word
            while self.width(candidate.rstrip(), size, bold=bold) > width and len(candidate) > 1:
                cut = len(candidate) - 1
                while cut > 1 and self.width(candidate[:cut], size, bold=bold) > width:
                    cut -= 1
                out.append(candidate[:cut])
                candidate = candidate[cut:]
            current = candidate
        if current.strip():
            out.append(current.rstrip())
        if len(out) > lines:
            out = out[:lines]
            while out[-1] and self.width(out[-1] + "…", size, bold=bold) > width:
                out[-1] = out[-1][:-1]
            out[-1] += "…"
        return out

    def paragraph(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        width: float,
        *,
        bold: bool = False,
        ink: Ink = (0, 0, 0),
        lines: int = 99,
    ) -> float:
        """Draw a wrapped text whose first baseline is ``y``; return the baseline after it."""
        for part in self.wrap(text, size, width, bold=bold, lines=lines):
            self.line(x, y, part, size, bold=bold, ink=ink)
            y -= size * 1.25
        return y
