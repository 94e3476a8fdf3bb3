"""One A4 page of the PDF report under construction: head, foot and what both pages draw alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.catalogue import Language
from gastromap.reports.content import ReportContent
from gastromap.reports.pdf_text import Ink, TextPainter
from gastromap.reports.probabilities import Bar
from gastromap.text import Text

__all__ = [
    "ACCENT",
    "AMBER_INK",
    "COLUMN",
    "FLOOR",
    "HEIGHT",
    "INK",
    "LEFT",
    "LINE",
    "MIDDLE",
    "PALE",
    "RIGHT",
    "SOFT",
    "WIDTH",
    "Page",
    "reader",
]

WIDTH, HEIGHT = 595.28, 841.89
LEFT, RIGHT = 36.0, 559.0
MIDDLE = 306.0  #: left edge of the right column
COLUMN = 253.0
INK: Ink = (0.09, 0.13, 0.17)
SOFT: Ink = (0.36, 0.41, 0.46)
LINE: Ink = (0.82, 0.85, 0.88)
ACCENT: Ink = (0.12, 0.37, 0.55)
PALE: Ink = (0.61, 0.73, 0.81)
_TRACK: Ink = (0.91, 0.93, 0.95)
AMBER_INK: Ink = (0.45, 0.27, 0.0)
_AMBER: Ink = (1.0, 0.96, 0.86)
_AMBER_LINE: Ink = (0.9, 0.69, 0.3)
FLOOR = 58.0  #: nothing but the footer lies below


#: Left edge, baseline and room of name, ID, birth date, sex, study date, accession number.
_PATIENT_CELLS = (
    (LEFT, 776.0, 340.0),
    (LEFT + 340, 776.0, 183.0),
    (LEFT, 763.0, 130.0),
    (LEFT + 130, 763.0, 70.0),
    (LEFT + 200, 763.0, 140.0),
    (LEFT + 340, 763.0, 183.0),
)
#: The same where two studies have two dates and two numbers.
_PAIR_CELLS = (
    (LEFT, 776.0, 340.0),
    (LEFT + 340, 776.0, 183.0),
    (LEFT, 763.0, 110.0),
    (LEFT + 110, 763.0, 50.0),
    (LEFT + 160, 763.0, 180.0),
    (LEFT + 340, 763.0, 183.0),
)


class Page:
    """One page, from the top down."""

    def __init__(self, canvas: Any, content: ReportContent, language: Language = "en") -> None:
        self.canvas = canvas
        self.text = TextPainter(canvas, language)
        self.content = content

    def rule(self, y: float) -> None:
        """Line over the whole width."""
        self.canvas.setStrokeColorRGB(*LINE)
        self.canvas.setLineWidth(0.7)
        self.canvas.line(LEFT, y, RIGHT, y)

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Amber box whose lower left corner is (x, y)."""
        self.canvas.setFillColorRGB(*_AMBER)
        self.canvas.setStrokeColorRGB(*_AMBER_LINE)
        self.canvas.setLineWidth(0.8)
        self.canvas.roundRect(x, y, width, height, 4, stroke=1, fill=1)

    def note(self, y: float, texts: tuple[str, ...], size: float = 9.0) -> float:
        """Amber box over the whole width with its top at ``y``; return its bottom."""
        lines = [line for text in texts for line in self.text.wrap(text, size, RIGHT - LEFT - 20, bold=True, lines=3)]
        height = len(lines) * size * 1.25 + 8
        self.box(LEFT, y - height, RIGHT - LEFT, height)
        baseline = y - size - 3
        for line in lines:
            self.text.line(LEFT + 10, baseline, line, size, bold=True, ink=AMBER_INK)
            baseline -= size * 1.25
        return y - height

    def head(self) -> float:
        """Research-use line, title and patient; return the bottom."""
        self.text.line(WIDTH / 2, 816, self.content.research_use, 10, bold=True, ink=AMBER_INK, align="centre")
        self.text.line(LEFT, 794, Text("GastroMAP: gastric cancer T stage from CT"), 13, bold=True, ink=INK)
        cells = _PATIENT_CELLS if self.content.comparison is None else _PAIR_CELLS
        for (x, y, room), (label, value) in zip(cells, self.content.patient, strict=True):
            self.text.line(x, y, label, 8.5, ink=SOFT)
            used = self.text.width(label, 8.5) + 6
            shown = self.text.wrap(value, 9, room - used - 10, bold=True, lines=1)
            self.text.line(x + used, y, shown[0] if shown else "", 9, bold=True, ink=INK)
        self.rule(754)
        return 754

    def heading(self, x: float, y: float, text: str) -> float:
        """Heading of a column; return the baseline after it."""
        return self.text.paragraph(x, y, text, 10, COLUMN, bold=True, ink=INK, lines=1) - 1

    def rows(self, x: float, y: float, rows: tuple[tuple[str, str], ...]) -> float:
        """Labels and values of a column; return the baseline after them."""
        for label, value in rows:
            self.text.line(x, y, label, 8, ink=SOFT)
            y = self.text.paragraph(x + 70, y, value, 8, COLUMN - 70, ink=INK, lines=2) - 1
        return y

    def foot(self) -> None:
        """Software, run and research-use line."""
        self.rule(48)
        self.text.paragraph(LEFT, 38, self.content.software, 7, RIGHT - LEFT, ink=SOFT, lines=1)
        self.text.line(LEFT, 27, Text("Run {run}", run=self.content.run_id), 7, ink=SOFT)
        self.text.line(RIGHT, 27, self.content.research_use, 8, bold=True, ink=AMBER_INK, align="right")

    def bar(self, left: float, right: float, y: float, bar: Bar) -> None:
        """Bar of one probability with its lower edge at ``y``."""
        height = 11.0
        self.canvas.setFillColorRGB(*_TRACK)
        self.canvas.roundRect(left, y, right - left, height, 2, stroke=0, fill=1)
        if bar.probability > 0:
            self.canvas.setFillColorRGB(*(ACCENT if bar.is_stage else PALE))
            self.canvas.rect(left, y, (right - left) * bar.probability, height, stroke=0, fill=1)
        self.text.line(RIGHT, y + 2, bar.percent, 9.5, bold=bar.is_stage, ink=INK, align="right")


def reader(pixels: NDArray[np.uint8]) -> Any:
    """Picture as the PDF library wants it."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    return ImageReader(Image.fromarray(pixels))
