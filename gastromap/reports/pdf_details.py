"""Last page of the PDF report: neighbouring slices, nomogram, why this series, what was not available, model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.nomogram_chart import FONT, WIDTH, ChartAxis, NomogramChart
from gastromap.reports.pdf_page import ACCENT, FLOOR, INK, LEFT, RIGHT, SOFT, Page, reader
from gastromap.text import Text

__all__ = ["DetailsPage"]

_TILES: Final = 4
_GAP: Final = 8.0
_CHART: Final = 316.0  #: width of the nomogram
_SIDE: Final = LEFT + _CHART + 28  #: left edge of the narrow column beside it
_ROOM: Final = RIGHT - _SIDE
_SIZE: Final = 8.0  #: of running text


class DetailsPage(Page):
    """What lies behind the finding, on one page; what does not fit is in the HTML report."""

    def draw(self, neighbours: Sequence[tuple[str, NDArray[np.uint8]]]) -> None:
        """Draw the whole page.

        Parameters
        ----------
        neighbours : sequence of (str, array)
            Captions and pictures, from the feet upwards.
        """
        y = self.head() - 14
        y = self._tiles(y, neighbours)
        self._facts(min(self._left(y), self._right(y)) - 6)
        self.foot()

    def _tiles(self, y: float, neighbours: Sequence[tuple[str, NDArray[np.uint8]]]) -> float:
        if not neighbours:
            return y
        y = self.heading(LEFT, y, Text("Slices beside the key slice")) + 4
        width = (RIGHT - LEFT - _GAP * (_TILES - 1)) / _TILES
        bottom = y
        for number, (caption, pixels) in enumerate(neighbours):
            rows, columns = pixels.shape[:2]
            scale = min(width / columns, width / rows)
            x = LEFT + number * (width + _GAP)
            self.canvas.drawImage(reader(pixels), x, y - rows * scale, columns * scale, rows * scale)
            below = y - rows * scale - 9
            bottom = min(bottom, self.text.paragraph(x, below, caption, 7.5, width, ink=SOFT, lines=2))
        return bottom - 8

    def _left(self, y: float) -> float:
        content = self.content
        y = self.heading(LEFT, y, content.nomogram_title)
        if content.chart is None:
            return self.text.paragraph(LEFT, y, content.nomogram_note, _SIZE, _CHART, ink=INK, lines=4) - 4
        y = self._nomogram(content.chart, y + 4)
        y = self.text.paragraph(LEFT, y - 6, content.nomogram_probabilities, _SIZE, _CHART, ink=INK, lines=2)
        return self.text.paragraph(LEFT, y, content.nomogram_note, 7, _CHART, ink=SOFT, lines=3) - 6

    def _nomogram(self, chart: NomogramChart, top: float) -> float:
        """Draw the chart of the page at its width on paper; return its bottom."""
        scale = _CHART / WIDTH
        self.canvas.setLineWidth(0.6)
        x, first, last = chart.reading
        self.canvas.setStrokeColorRGB(*ACCENT)
        self.canvas.setDash(2, 2)
        self.canvas.line(LEFT + x * scale, top - first * scale, LEFT + x * scale, top - last * scale)
        self.canvas.setDash()
        for axis in chart.axes:
            self._axis(axis, chart.left, top, scale)
        return top - chart.height * scale

    def _axis(self, axis: ChartAxis, left: float, top: float, scale: float) -> None:
        size, y = FONT * scale, top - axis.y * scale
        self.text.line(LEFT + left * scale, top - axis.title_y * scale, axis.title, size, bold=True, ink=INK)
        self.canvas.setStrokeColorRGB(*SOFT)
        self.canvas.setLineWidth(0.6)
        self.canvas.line(LEFT + axis.start * scale, y, LEFT + axis.end * scale, y)
        for tick in axis.ticks:
            self.canvas.setStrokeColorRGB(*SOFT)
            self.canvas.setLineWidth(0.6)
            self.canvas.line(LEFT + tick.x * scale, y, LEFT + tick.x * scale, top - tick.end_y * scale)
            if tick.leader is not None:
                end = (LEFT + tick.leader[0] * scale, top - tick.leader[1] * scale)
                self.canvas.setLineWidth(0.4)
                self.canvas.line(LEFT + tick.x * scale, top - tick.end_y * scale, *end)
            place = (LEFT + tick.label_x * scale, top - tick.label_y * scale)
            self.text.line(*place, tick.label, size * 0.94, ink=SOFT, align="centre")
        if axis.mark is not None:
            self.canvas.setStrokeColorRGB(*ACCENT)
            self.canvas.setFillColorRGB(*ACCENT)
            self.canvas.setLineWidth(1.0)
            self.canvas.circle(LEFT + axis.mark * scale, y, 7 * scale, stroke=1, fill=0)
            self.canvas.circle(LEFT + axis.mark * scale, y, 4 * scale, stroke=0, fill=1)
        if axis.points:
            self.text.line(LEFT + _CHART, y - 3, axis.points, size * 1.1, bold=True, ink=ACCENT, align="right")

    def _right(self, y: float) -> float:
        content = self.content
        y = self.heading(_SIDE, y, Text("Series: which and why"))
        y = self.text.paragraph(_SIDE, y, content.series_reason, _SIZE, _ROOM, ink=INK, lines=3) - 2
        shown = content.other_series[:5]
        if shown:
            y = self.text.paragraph(_SIDE, y, Text("Not chosen"), _SIZE, _ROOM, ink=SOFT, lines=1)
        for number, slices, reason in shown:
            words = Text("Series {number}, {slices} slices: {reason}", number=number, slices=slices, reason=reason)
            y = self.text.paragraph(_SIDE, y, words, _SIZE, _ROOM, ink=INK, lines=2)
        rest = len(content.other_series) - len(shown)
        if rest:
            words = Text("• and {number} more, see report.html", number=rest)
            y = self.text.paragraph(_SIDE, y, words, _SIZE, _ROOM, ink=INK, lines=1)
        y = self.heading(_SIDE, y - 8, Text("Not available"))
        for what, why in content.unavailable:
            words = Text("{name}: {value}", name=what, value=why)
            y = self.text.paragraph(_SIDE, y, words, _SIZE, _ROOM, ink=INK, lines=3) - 1
        return y

    def _facts(self, y: float) -> None:
        facts = self.content.model_facts
        if not facts or y < FLOOR + 30:
            return
        y = self.heading(LEFT, y, Text("Model card"))
        for label, value in facts:
            if y < FLOOR + 12:
                return
            self.text.line(LEFT, y, label, _SIZE, ink=SOFT)
            y = self.text.paragraph(LEFT + 80, y, value, _SIZE, RIGHT - LEFT - 80, ink=INK, lines=3) - 1
