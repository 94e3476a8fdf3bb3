"""The report as A4 pages with real text: the finding, what lies behind it, and one more for a comparison."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.catalogue import Language, say
from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.content import ReportContent
from gastromap.reports.pdf_comparison import ComparisonPage
from gastromap.reports.pdf_details import DetailsPage
from gastromap.reports.pdf_page import (
    ACCENT,
    AMBER_INK,
    COLUMN,
    FLOOR,
    HEIGHT,
    INK,
    LEFT,
    MIDDLE,
    RIGHT,
    SOFT,
    WIDTH,
    Page,
    reader,
)
from gastromap.reports.phrases import RESEARCH_USE, RESEARCH_USE_LINE
from gastromap.reports.pictures import Pictures
from gastromap.text import Text, in_a_row

__all__ = ["render_pdf"]

_TITLE = Text("GastroMAP T-stage report ({notice})", notice=RESEARCH_USE)


class _StagePage(Page):
    """First page."""

    def stage(self, top: float) -> float:
        content = self.content
        self.text.line(LEFT, top - 56, content.stage, 54, bold=True, ink=INK if content.staged else SOFT)
        x = LEFT + self.text.width(content.stage, 54, bold=True) + 14
        size = 10.0 if content.staged else 11.0
        width = self.text.width(content.confidence, size, bold=True)
        if not content.staged:
            self.box(x - 2, top - 30, width + 14, 19)
            self.text.line(x + 5, top - 24.5, content.confidence, size, bold=True, ink=AMBER_INK)
        else:
            self.text.line(x, top - 24, content.confidence, size, bold=True, ink=ACCENT)
        self.text.line(x, top - 46, Text("Set: {members}", members=content.prediction_set), 10, ink=INK)
        self.text.line(x, top - 61, content.agreement, 9, ink=SOFT)
        left, right = MIDDLE + 44, RIGHT - 40
        for number, bar in enumerate(content.bars):
            y = top - 23 - number * 16.0
            self.text.line(MIDDLE + 8, y + 2, bar.label, 9.5, bold=True, ink=INK)
            if bar.in_set:
                # As in the page: outlined stages make up the prediction set.
                self.canvas.setStrokeColorRGB(*ACCENT)
                self.canvas.setLineWidth(0.8)
                self.canvas.roundRect(
                    MIDDLE + 4, y - 1.2, self.text.width(bar.label, 9.5, bold=True) + 8, 13, 3, stroke=1, fill=0
                )
            self.bar(left, right, y, bar)
        return top - 80

    def pictures(self, top: float, pictures: Pictures) -> float:
        rows, columns = pictures.key_slice.shape[:2]
        height = min(COLUMN * rows / columns, 275.0)
        width = height * columns / rows
        for x, pixels in ((LEFT, pictures.key_slice), (MIDDLE, pictures.grad_cam)):
            self.canvas.drawImage(reader(pixels), x + (COLUMN - width) / 2, top - height, width, height)
        y = top - height - 10
        self.text.line(LEFT, y, Text("Key slice, the slice the network read"), 8.5, ink=INK)
        content = self.content
        caption = Text("{method}: {meaning}", method=content.heat_map_method, meaning=content.heat_map_meaning)
        return self.text.paragraph(MIDDLE, y, caption, 8.5, COLUMN, ink=INK, lines=2) + 2

    def why(self, y: float) -> float:
        content = self.content
        if content.rad_score:
            y = self.heading(LEFT, y, Text("Rad-score {score}", score=content.rad_score)) + 1
            y = (
                self.text.paragraph(LEFT, y, Text("standard deviations of the training cohort"), 8, COLUMN, ink=SOFT)
                - 4
            )
        y = self.heading(LEFT, y, content.nomogram_title)
        if content.nomogram_rows:
            head_row = (Text("Predictor"), Text("Value"), Text("Log odds"), Text("Points"))
            total_row = (Text("Total"), "", "", content.nomogram_total)
            for number, row in enumerate((head_row, *content.nomogram_rows, total_row)):
                head, last = number == 0, number == len(content.nomogram_rows) + 1
                ink = SOFT if head else INK
                end = y - 10
                for x, cell, width, lines in ((LEFT, row[0], 92.0, 1), (LEFT + 96, row[1], 68.0, 4)):
                    # A value may say where it comes from, and that is not to be cut off.
                    for step, part in enumerate(self.text.wrap(cell, 8, width, bold=last, lines=lines) or [""]):
                        self.text.line(x, y - 10 * step, part, 8, bold=last, ink=ink)
                        end = min(end, y - 10 * (step + 1))
                self.text.line(LEFT + 208, y, row[2], 8, bold=last, ink=ink, align="right")
                self.text.line(LEFT + COLUMN - 4, y, row[3], 8, bold=last, ink=ink, align="right")
                y = end - 1.5
            y = self.text.paragraph(LEFT, y, content.nomogram_probabilities, 8, COLUMN, ink=INK, lines=2)
        return self.text.paragraph(LEFT, y, content.nomogram_note, 8, COLUMN, ink=SOFT, lines=3)

    def size(self, y: float) -> float:
        tumour = self.content.tumour
        if tumour is None:
            return y
        y = self.heading(LEFT, y, Text("Tumour size"))
        sizes = in_a_row([Text("{name}: {value}", name=label, value=value) for label, value in tumour.rows])
        y = self.text.paragraph(LEFT, y, sizes, 8, COLUMN, ink=INK, lines=3)
        note = Text("{first} {second}", first=tumour.origin, second=tumour.notice)
        return self.text.paragraph(LEFT, y, note, 8, COLUMN, ink=SOFT, lines=3) - 6

    def facts(self, y: float) -> float:
        y = self.rows(MIDDLE, self.heading(MIDDLE, y, Text("Key slice")), self.content.key_slice_rows) - 4
        y = self.rows(MIDDLE, self.heading(MIDDLE, y, Text("Images")), self.content.series_rows) - 4
        return self.rows(MIDDLE, self.heading(MIDDLE, y, Text("Model")), self.content.model_rows)

    def warnings(self, y: float) -> None:
        warnings = self.content.warnings
        if not warnings:
            return
        y = self.heading(LEFT, y, Text("Warnings"))
        for number, warning in enumerate(warnings):
            lines = self.text.wrap(Text("• {warning}", warning=warning), 8, COLUMN, lines=3)
            rest = len(warnings) - number
            if y - len(lines) * 10 < FLOOR + (10 if rest > 1 else 0):
                self.text.line(LEFT, y, Text("• and {number} more, see report.html", number=rest), 8, ink=INK)
                return
            for line in lines:
                self.text.line(LEFT, y, line, 8, ink=INK)
                y -= 10


def render_pdf(
    content: ReportContent,
    pictures: Pictures,
    compared: ComparisonPictures | None = None,
    *,
    neighbours: Sequence[tuple[str, NDArray[np.uint8]]] = (),
    language: Language = "en",
) -> bytes:
    """Render the report page.

    Parameters
    ----------
    content : ReportContent
        The texts; what does not fit on the page ends in an ellipsis or names the HTML report.
    pictures : Pictures
        Key slice, plain and with the heat map.
    compared : ComparisonPictures, optional
        There where the content has a comparison.
    neighbours : sequence of (str, array)
        Slices beside the key slice with their captions.
    language : {"en", "zh"}

    Returns
    -------
    pdf : bytes
        Two A4 pages, three with a comparison.
    """
    from reportlab import rl_config
    from reportlab.pdfgen.canvas import Canvas

    # ASCII-85 is a relic of 7-bit mail: it costs a quarter of a second and a quarter of the size.
    rl_config.useA85 = 0
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(WIDTH, HEIGHT), pageCompression=1)
    canvas.setTitle(say(_TITLE, language))
    canvas.setSubject(say(RESEARCH_USE_LINE, language))
    canvas.setCreator("GastroMAP")
    page = _StagePage(canvas, content, language)
    y = page.stage(page.head())
    if not content.staged and content.reasons:
        y = page.note(y, content.reasons) - 5
    y = page.note(y, (content.notice,)) - 10 if content.notice else y - 4
    y = page.pictures(y, pictures)
    page.rule(y)
    page.facts(y - 14)
    page.warnings(page.size(page.why(y - 14) - 6))
    page.foot()
    canvas.showPage()
    if compared is not None and content.comparison is not None:
        after = ComparisonPage(canvas, content, language)
        after.draw(content.comparison, compared)
        canvas.showPage()
    DetailsPage(canvas, content, language).draw(neighbours)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()
