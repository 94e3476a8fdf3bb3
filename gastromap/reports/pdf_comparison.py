"""Second page of the PDF report: the CT after treatment, node metastasis, survival, where the model looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.comparison_content import ComparisonContent, map_texts
from gastromap.reports.comparison_pictures import ComparisonPictures, MapPair
from gastromap.reports.outlook_content import OutlookContent, SurvivalChart
from gastromap.reports.pdf_page import ACCENT, COLUMN, FLOOR, INK, LEFT, LINE, MIDDLE, RIGHT, SOFT, Page, reader
from gastromap.text import Text, in_a_row

__all__ = ["ComparisonPage"]

_CHART_HEIGHT: Final = 92.0
_PICTURE_HEIGHT: Final = 150.0
_SMALLEST_TILE: Final = 40.0
_LARGEST_TILE: Final = 76.0  #: leaves room for the words beside two of them
_Row = tuple[str, str, str, str]


class ComparisonPage(Page):
    """What a comparison adds, on one page; what does not fit is in the HTML report."""

    def draw(self, after: ComparisonContent, pictures: ComparisonPictures) -> None:
        """Draw the whole page."""
        y = self.head() - 16
        self.text.line(LEFT, y, Text("After treatment"), 13, bold=True, ink=INK)
        dates: str = Text(
            "CT before treatment {before}, after treatment {after}", before=after.dates[0], after=after.dates[1]
        )
        if after.interval:
            dates = in_a_row([dates, after.interval])
        self.text.line(RIGHT, y, dates, 9, ink=SOFT, align="right")
        notes = tuple(note for note in (after.finding, *after.notices) if note)
        y = self.note(y - 8, notes, 8.5) - 8 if notes else y - 8
        y = self._slices(y, after, pictures) - 10
        end = self._right(y, after)
        y = min(self._left(y, after), end) - 2
        self.rule(y)
        self._maps(y - 13, after, pictures.maps)
        self.foot()

    def _slices(self, top: float, after: ComparisonContent, pictures: ComparisonPictures) -> float:
        shown = [(pictures.before, after.captions[0]), (pictures.after, after.captions[1])]
        if pictures.overlay is not None:
            shown.append((pictures.overlay, after.overlay_caption))
        gap = 8.0
        column = (RIGHT - LEFT - gap * (len(shown) - 1)) / len(shown)
        bottom = top
        for number, (pixels, caption) in enumerate(shown):
            x = LEFT + number * (column + gap)
            height = self._picture(pixels, x, top, column, _PICTURE_HEIGHT)
            end = self.text.paragraph(x, top - height - 9, caption, 7.5, column, ink=INK, lines=3)
            bottom = min(bottom, end)
        return bottom

    def _picture(self, pixels: NDArray[np.uint8], x: float, top: float, width: float, height: float) -> float:
        """Draw into a box, in the middle of its width; return the height used."""
        rows, columns = pixels.shape[:2]
        scale = min(width / columns, height / rows)
        self.canvas.drawImage(
            reader(pixels), x + (width - columns * scale) / 2, top - rows * scale, columns * scale, rows * scale
        )
        return rows * scale

    def _table(self, x: float, y: float, head: _Row, rows: Sequence[_Row]) -> float:
        for number, row in enumerate((head, *rows)):
            ink = INK if number else SOFT
            self.text.line(x, y, row[0], 8, ink=ink)
            for cell, right in zip(row[1:], (132.0, 190.0, COLUMN - 4), strict=True):
                self.text.line(x + right, y, cell, 8, ink=ink, align="right")
            y -= 10.8
        return y

    def _left(self, y: float, after: ComparisonContent) -> float:
        y = self.heading(LEFT, y, Text("Tumour size"))
        if after.size_rows:
            y = self._table(LEFT, y, ("", Text("Before"), Text("After"), Text("Change")), after.size_rows)
        y = self.text.paragraph(LEFT, y, after.size_note, 7.5, COLUMN, ink=SOFT, lines=3) - 5
        stage = after.stage
        if stage is not None:
            y = self.heading(LEFT, y, Text("Stage of the CT after treatment")) - 3
            self.text.line(LEFT, y, stage.label, 13, bold=True, ink=INK if stage.staged else SOFT)
            used = self.text.width(stage.label, 13, bold=True) + 8
            words = Text("{confidence}. Set: {members}", confidence=stage.confidence, members=stage.prediction_set)
            y = self.text.paragraph(LEFT + used, y, words, 8, COLUMN - used, ink=INK, lines=2) - 1
            said: str = Text("{first}. {second}.", first=stage.probabilities, second=stage.agreement)
            for reason in stage.reasons:
                said = Text("{first} {second}", first=said, second=reason)
            y = self.text.paragraph(LEFT, y, said, 8, COLUMN, ink=SOFT, lines=4) - 5
        if after.outlook is not None:
            y = self.heading(LEFT, y, Text("What the CT after treatment changed"))
            y = self._table(LEFT, y, ("", Text("Both"), Text("Before alone"), Text("Difference")), after.outlook.rows)
        if after.warnings:
            warned: str = Text("Warnings:")
            for warning in after.warnings:
                warned = Text("{first} {second}", first=warned, second=warning)
            y = self.text.paragraph(LEFT, y - 2, warned, 7.5, COLUMN, ink=INK, lines=2)
        return y

    def _right(self, y: float, after: ComparisonContent) -> float:
        outlook = after.outlook
        if outlook is None:
            y = self.heading(MIDDLE, y, Text("Outlook"))
            return self.text.paragraph(MIDDLE, y, after.omitted, 8.5, COLUMN, ink=INK, lines=4)
        y = self.heading(MIDDLE, y, Text("Lymph-node metastasis after treatment")) - 2
        for bar in outlook.bars:
            self.text.line(MIDDLE, y, bar.label, 8.5, ink=INK)
            self.bar(MIDDLE + 64, RIGHT - 40, y - 2.5, bar)
            y -= 15
        y = self.heading(MIDDLE, y - 4, Text("Overall survival")) - 2
        self._chart(y, outlook.chart)
        y -= _CHART_HEIGHT + 31
        legend = Text("Line: from both CT. Dashed: from the CT before treatment alone.") if outlook.chart.alone else ""
        y = self.text.paragraph(MIDDLE, y, legend, 7.5, COLUMN, ink=SOFT, lines=1) - 2
        y = self.text.paragraph(MIDDLE, y, outlook.expected, 8.5, COLUMN, bold=True, ink=INK, lines=2)
        return self._small_print(y, outlook, after.crop_note)

    def _small_print(self, y: float, outlook: OutlookContent, crop_note: str) -> float:
        y = self.text.paragraph(MIDDLE, y, outlook.risk_group, 8, COLUMN, ink=SOFT, lines=2)
        model = in_a_row([value for _, value in outlook.model_rows])
        words = Text("{first}. {second}.", first=outlook.inputs, second=model)
        if crop_note:
            words = Text("{first} {second}", first=words, second=crop_note)
        return self.text.paragraph(MIDDLE, y, words, 7, COLUMN, ink=SOFT, lines=4)

    def _chart(self, top: float, chart: SurvivalChart) -> None:
        left, right, bottom = MIDDLE + 30, RIGHT - 6, top - _CHART_HEIGHT

        def place(point: tuple[float, float]) -> tuple[float, float]:
            return left + point[0] * (right - left), bottom + point[1] * _CHART_HEIGHT

        self.canvas.setLineWidth(0.5)
        self.canvas.setStrokeColorRGB(*LINE)
        for part, text in chart.percent_ticks:
            _, y = place((0, part))
            self.canvas.line(left, y, right, y)
            self.text.line(left - 4, y - 2.5, text, 7, ink=SOFT, align="right")
        for part, text in chart.month_ticks:
            x, _ = place((part, 0))
            self.canvas.line(x, bottom, x, bottom - 3)
            self.text.line(x, bottom - 11, text, 7, ink=SOFT, align="centre")
        self.text.line((left + right) / 2, bottom - 20, Text("months"), 7, ink=SOFT, align="centre")
        if chart.alone:
            self.canvas.setDash(3, 2)
            self._line([place(point) for point in chart.alone], 0.9, SOFT)
            self.canvas.setDash()
        places = [place(point) for point in chart.points]
        self._line(places, 1.6, ACCENT)
        self.canvas.setFillColorRGB(*ACCENT)
        for x, y in places:
            self.canvas.circle(x, y, 1.9, stroke=0, fill=1)

    def _line(self, places: Sequence[tuple[float, float]], width: float, ink: tuple[float, float, float]) -> None:
        self.canvas.setStrokeColorRGB(*ink)
        self.canvas.setLineWidth(width)
        path = self.canvas.beginPath()
        path.moveTo(*places[0])
        for place in places[1:]:
            path.lineTo(*place)
        self.canvas.drawPath(path, stroke=1, fill=0)

    def _maps(self, y: float, after: ComparisonContent, maps: tuple[MapPair, ...]) -> None:
        if not maps:
            return
        self.text.line(LEFT, y, Text("Where the model looked"), 10, bold=True, ink=INK)
        self.text.line(RIGHT, y, after.maps_meaning, 7.5, ink=SOFT, align="right")
        lines = -(-len(maps) // 2)
        side = min(_LARGEST_TILE, (y - 8 - FLOOR) / lines - 7)
        if side < _SMALLEST_TILE:
            self.text.line(LEFT, y - 14, Text("See report.html."), 8, ink=SOFT)
            return
        for number, pair in enumerate(maps):
            x = MIDDLE if number % 2 else LEFT
            top = y - 8 - (number // 2) * (side + 7)
            for step, pixels in enumerate((pair.before, pair.after)):
                self._picture(pixels, x + step * (side + 3), top, side, side)
            title, words = map_texts(pair)
            left, room = x + 2 * side + 9, COLUMN - 2 * side - 12
            end = self.text.paragraph(left, top - 8, title, 7.5, room, bold=True, ink=INK, lines=3)
            self.text.paragraph(left, end, words, 7, room, ink=SOFT, lines=7)
