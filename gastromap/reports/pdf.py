"""The report as one A4 page with real text."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.content import ReportContent
from gastromap.reports.pdf_text import Ink, TextPainter
from gastromap.reports.pictures import Pictures

__all__ = ["render_pdf"]

_WIDTH, _HEIGHT = 595.28, 841.89
_LEFT, _RIGHT = 36.0, 559.0
_MIDDLE = 306.0  #: left edge of the right column
_COLUMN = 253.0
_INK: Ink = (0.09, 0.13, 0.17)
_SOFT: Ink = (0.36, 0.41, 0.46)
_LINE: Ink = (0.82, 0.85, 0.88)
_ACCENT: Ink = (0.12, 0.37, 0.55)
_PALE: Ink = (0.61, 0.73, 0.81)
_TRACK: Ink = (0.91, 0.93, 0.95)
_AMBER_INK: Ink = (0.45, 0.27, 0.0)
_AMBER: Ink = (1.0, 0.96, 0.86)
_AMBER_LINE: Ink = (0.9, 0.69, 0.3)
_FLOOR = 58.0  #: nothing but the footer lies below


#: Left edge, baseline and room of name, ID, birth date, sex, study date, accession number.
_PATIENT_CELLS = (
    (_LEFT, 776.0, 340.0),
    (_LEFT + 340, 776.0, 183.0),
    (_LEFT, 763.0, 130.0),
    (_LEFT + 130, 763.0, 70.0),
    (_LEFT + 200, 763.0, 140.0),
    (_LEFT + 340, 763.0, 183.0),
)


class _Page:
    """One page under construction, from the top down."""

    def __init__(self, canvas: Any, content: ReportContent) -> None:
        self.canvas = canvas
        self.text = TextPainter(canvas)
        self.content = content

    def rule(self, y: float) -> None:
        self.canvas.setStrokeColorRGB(*_LINE)
        self.canvas.setLineWidth(0.7)
        self.canvas.line(_LEFT, y, _RIGHT, y)

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Amber box whose lower left corner is (x, y)."""
        self.canvas.setFillColorRGB(*_AMBER)
        self.canvas.setStrokeColorRGB(*_AMBER_LINE)
        self.canvas.setLineWidth(0.8)
        self.canvas.roundRect(x, y, width, height, 4, stroke=1, fill=1)

    def note(self, y: float, texts: tuple[str, ...], size: float = 9.0) -> float:
        """Amber box over the whole width with its top at ``y``; return its bottom."""
        lines = [line for text in texts for line in self.text.wrap(text, size, _RIGHT - _LEFT - 20, bold=True, lines=3)]
        height = len(lines) * size * 1.25 + 8
        self.box(_LEFT, y - height, _RIGHT - _LEFT, height)
        baseline = y - size - 3
        for line in lines:
            self.text.line(_LEFT + 10, baseline, line, size, bold=True, ink=_AMBER_INK)
            baseline -= size * 1.25
        return y - height

    def head(self) -> float:
        self.text.line(_WIDTH / 2, 816, self.content.research_use, 10, bold=True, ink=_AMBER_INK, align="centre")
        self.text.line(_LEFT, 794, "GastroMAP: gastric cancer T stage from CT", 13, bold=True, ink=_INK)
        for (x, y, room), (label, value) in zip(_PATIENT_CELLS, self.content.patient, strict=True):
            self.text.line(x, y, label, 8.5, ink=_SOFT)
            used = self.text.width(label, 8.5) + 6
            shown = self.text.wrap(value, 9, room - used - 10, bold=True, lines=1)
            self.text.line(x + used, y, shown[0] if shown else "", 9, bold=True, ink=_INK)
        self.rule(754)
        return 754

    def stage(self, top: float) -> float:
        content = self.content
        self.text.line(_LEFT, top - 56, content.stage, 54, bold=True, ink=_INK if content.staged else _SOFT)
        x = _LEFT + self.text.width(content.stage, 54, bold=True) + 14
        size = 10.0 if content.staged else 11.0
        width = self.text.width(content.confidence, size, bold=True)
        if not content.staged:
            self.box(x - 2, top - 30, width + 14, 19)
            self.text.line(x + 5, top - 24.5, content.confidence, size, bold=True, ink=_AMBER_INK)
        else:
            self.text.line(x, top - 24, content.confidence, size, bold=True, ink=_ACCENT)
        self.text.line(x, top - 46, f"Set: {content.prediction_set}", 10, ink=_INK)
        self.text.line(x, top - 61, content.agreement, 9, ink=_SOFT)
        left, right, height = _MIDDLE + 44, _RIGHT - 40, 11.0
        for number, bar in enumerate(content.bars):
            y = top - 23 - number * 16.0
            self.text.line(_MIDDLE + 8, y + 2, bar.label, 9.5, bold=True, ink=_INK)
            self.canvas.setFillColorRGB(*_TRACK)
            self.canvas.roundRect(left, y, right - left, height, 2, stroke=0, fill=1)
            if bar.probability > 0:
                self.canvas.setFillColorRGB(*(_ACCENT if bar.is_stage else _PALE))
                self.canvas.rect(left, y, (right - left) * bar.probability, height, stroke=0, fill=1)
            self.text.line(_RIGHT, y + 2, bar.percent, 9.5, bold=bar.is_stage, ink=_INK, align="right")
        return top - 80

    def pictures(self, top: float, pictures: Pictures) -> float:
        rows, columns = pictures.key_slice.shape[:2]
        height = min(_COLUMN * rows / columns, 275.0)
        width = height * columns / rows
        for x, pixels in ((_LEFT, pictures.key_slice), (_MIDDLE, pictures.grad_cam)):
            self.canvas.drawImage(_reader(pixels), x + (_COLUMN - width) / 2, top - height, width, height)
        y = top - height - 10
        self.text.line(_LEFT, y, "Key slice, the slice the network read", 8.5, ink=_INK)
        caption = f"{self.content.heat_map_method}: {self.content.heat_map_meaning}"
        return self.text.paragraph(_MIDDLE, y, caption, 8.5, _COLUMN, ink=_INK, lines=2) + 2

    def heading(self, x: float, y: float, text: str) -> float:
        return self.text.paragraph(x, y, text, 10, _COLUMN, bold=True, ink=_INK, lines=1) - 1

    def rows(self, x: float, y: float, rows: tuple[tuple[str, str], ...]) -> float:
        for label, value in rows:
            self.text.line(x, y, label, 8, ink=_SOFT)
            y = self.text.paragraph(x + 70, y, value, 8, _COLUMN - 70, ink=_INK, lines=2) - 1
        return y

    def why(self, y: float) -> float:
        content = self.content
        if content.rad_score:
            y = self.heading(_LEFT, y, f"Rad-score {content.rad_score}") + 1
            y = self.text.paragraph(_LEFT, y, "standard deviations of the training cohort", 8, _COLUMN, ink=_SOFT) - 4
        y = self.heading(_LEFT, y, content.nomogram_title)
        if content.nomogram_rows:
            head_row = ("Predictor", "Value", "Log odds", "Points")
            total_row = ("Total", "", "", content.nomogram_total)
            for number, row in enumerate((head_row, *content.nomogram_rows, total_row)):
                head, last = number == 0, number == len(content.nomogram_rows) + 1
                ink = _SOFT if head else _INK
                cells = ((_LEFT, row[0], 92.0), (_LEFT + 96, row[1], 68.0))
                for x, cell, width in cells:
                    shown = self.text.wrap(cell, 8, width, bold=last, lines=1)
                    self.text.line(x, y, shown[0] if shown else "", 8, bold=last, ink=ink)
                self.text.line(_LEFT + 208, y, row[2], 8, bold=last, ink=ink, align="right")
                self.text.line(_LEFT + _COLUMN - 4, y, row[3], 8, bold=last, ink=ink, align="right")
                y -= 11.5
            y = self.text.paragraph(_LEFT, y, content.nomogram_probabilities, 8, _COLUMN, ink=_INK, lines=2)
        return self.text.paragraph(_LEFT, y, content.nomogram_note, 8, _COLUMN, ink=_SOFT, lines=3)

    def facts(self, y: float) -> float:
        y = self.rows(_MIDDLE, self.heading(_MIDDLE, y, "Key slice"), self.content.key_slice_rows) - 4
        y = self.rows(_MIDDLE, self.heading(_MIDDLE, y, "Images"), self.content.series_rows) - 4
        return self.rows(_MIDDLE, self.heading(_MIDDLE, y, "Model"), self.content.model_rows)

    def warnings(self, y: float) -> None:
        warnings = self.content.warnings
        if not warnings:
            return
        y = self.heading(_LEFT, y, "Warnings")
        for number, warning in enumerate(warnings):
            lines = self.text.wrap(f"• {warning}", 8, _COLUMN, lines=3)
            rest = len(warnings) - number
            if y - len(lines) * 10 < _FLOOR + (10 if rest > 1 else 0):
                self.text.line(_LEFT, y, f"• and {rest} more, see report.html", 8, ink=_INK)
                return
            for line in lines:
                self.text.line(_LEFT, y, line, 8, ink=_INK)
                y -= 10

    def foot(self) -> None:
        self.rule(48)
        self.text.paragraph(_LEFT, 38, self.content.software, 7, _RIGHT - _LEFT, ink=_SOFT, lines=1)
        self.text.line(_LEFT, 27, f"Run {self.content.run_id}", 7, ink=_SOFT)
        self.text.line(_RIGHT, 27, self.content.research_use, 8, bold=True, ink=_AMBER_INK, align="right")


def _reader(pixels: NDArray[np.uint8]) -> Any:
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    return ImageReader(Image.fromarray(pixels))


def render_pdf(content: ReportContent, pictures: Pictures, compared: ComparisonPictures | None = None) -> bytes:
    """Render the report page.

    Parameters
    ----------
    content : ReportContent
        The texts; what does not fit on the page ends in an ellipsis or names the HTML report.
    pictures : Pictures
        Key slice, plain and with the heat map.

    Returns
    -------
    pdf : bytes
        One A4 page.
    """
    from reportlab import rl_config
    from reportlab.pdfgen.canvas import Canvas

    # ASCII-85 is a relic of 7-bit mail: it costs a quarter of a second and a quarter of the size.
    rl_config.useA85 = 0
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(_WIDTH, _HEIGHT), pageCompression=1)
    canvas.setTitle("GastroMAP T-stage report, research use, not for diagnosis")
    canvas.setCreator("GastroMAP")
    page = _Page(canvas, content)
    y = page.stage(page.head())
    if not content.staged and content.reasons:
        y = page.note(y, content.reasons) - 5
    y = page.note(y, (content.notice,)) - 10 if content.notice else y - 4
    y = page.pictures(y, pictures)
    page.rule(y)
    page.facts(y - 14)
    page.warnings(page.why(y - 14) - 6)
    page.foot()
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()
