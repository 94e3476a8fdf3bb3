"""The report as one A4 page with real text, and a second one for a comparison."""

from __future__ import annotations

import io

from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.content import ReportContent
from gastromap.reports.pdf_comparison import ComparisonPage
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
from gastromap.reports.phrases import sentence
from gastromap.reports.pictures import Pictures

__all__ = ["render_pdf"]


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
        self.text.line(x, top - 46, f"Set: {content.prediction_set}", 10, ink=INK)
        self.text.line(x, top - 61, content.agreement, 9, ink=SOFT)
        left, right = MIDDLE + 44, RIGHT - 40
        for number, bar in enumerate(content.bars):
            y = top - 23 - number * 16.0
            self.text.line(MIDDLE + 8, y + 2, bar.label, 9.5, bold=True, ink=INK)
            self.bar(left, right, y, bar)
        return top - 80

    def pictures(self, top: float, pictures: Pictures) -> float:
        rows, columns = pictures.key_slice.shape[:2]
        height = min(COLUMN * rows / columns, 275.0)
        width = height * columns / rows
        for x, pixels in ((LEFT, pictures.key_slice), (MIDDLE, pictures.grad_cam)):
            self.canvas.drawImage(reader(pixels), x + (COLUMN - width) / 2, top - height, width, height)
        y = top - height - 10
        self.text.line(LEFT, y, "Key slice, the slice the network read", 8.5, ink=INK)
        caption = f"{self.content.heat_map_method}: {self.content.heat_map_meaning}"
        return self.text.paragraph(MIDDLE, y, caption, 8.5, COLUMN, ink=INK, lines=2) + 2

    def why(self, y: float) -> float:
        content = self.content
        if content.rad_score:
            y = self.heading(LEFT, y, f"Rad-score {content.rad_score}") + 1
            y = self.text.paragraph(LEFT, y, "standard deviations of the training cohort", 8, COLUMN, ink=SOFT) - 4
        y = self.heading(LEFT, y, content.nomogram_title)
        if content.nomogram_rows:
            head_row = ("Predictor", "Value", "Log odds", "Points")
            total_row = ("Total", "", "", content.nomogram_total)
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
        y = self.heading(LEFT, y, "Tumour size")
        sizes = "; ".join(f"{label.lower()} {value}" for label, value in tumour.rows)
        y = self.text.paragraph(LEFT, y, sentence(sizes), 8, COLUMN, ink=INK, lines=3)
        note = f"{tumour.origin} {tumour.notice}"
        return self.text.paragraph(LEFT, y, note, 8, COLUMN, ink=SOFT, lines=3) - 6

    def facts(self, y: float) -> float:
        y = self.rows(MIDDLE, self.heading(MIDDLE, y, "Key slice"), self.content.key_slice_rows) - 4
        y = self.rows(MIDDLE, self.heading(MIDDLE, y, "Images"), self.content.series_rows) - 4
        return self.rows(MIDDLE, self.heading(MIDDLE, y, "Model"), self.content.model_rows)

    def warnings(self, y: float) -> None:
        warnings = self.content.warnings
        if not warnings:
            return
        y = self.heading(LEFT, y, "Warnings")
        for number, warning in enumerate(warnings):
            lines = self.text.wrap(f"• {warning}", 8, COLUMN, lines=3)
            rest = len(warnings) - number
            if y - len(lines) * 10 < FLOOR + (10 if rest > 1 else 0):
                self.text.line(LEFT, y, f"• and {rest} more, see report.html", 8, ink=INK)
                return
            for line in lines:
                self.text.line(LEFT, y, line, 8, ink=INK)
                y -= 10


def render_pdf(content: ReportContent, pictures: Pictures, compared: ComparisonPictures | None = None) -> bytes:
    """Render the report page.

    Parameters
    ----------
    content : ReportContent
        The texts; what does not fit on the page ends in an ellipsis or names the HTML report.
    pictures : Pictures
        Key slice, plain and with the heat map.
    compared : ComparisonPictures, optional
        There where the content has a comparison.

    Returns
    -------
    pdf : bytes
        One A4 page, two with a comparison.
    """
    from reportlab import rl_config
    from reportlab.pdfgen.canvas import Canvas

    # ASCII-85 is a relic of 7-bit mail: it costs a quarter of a second and a quarter of the size.
    rl_config.useA85 = 0
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(WIDTH, HEIGHT), pageCompression=1)
    canvas.setTitle("GastroMAP T-stage report, research use, not for diagnosis")
    canvas.setCreator("GastroMAP")
    page = _StagePage(canvas, content)
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
        second = ComparisonPage(canvas, content)
        second.draw(content.comparison, compared)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
