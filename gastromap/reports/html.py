"""The report as one self-contained HTML file: no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gastromap.reports.content import ReportContent

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render_html"]

_TEMPLATE = Path(__file__).with_name("report.html")


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    # Escaping is on: header texts such as a patient name are foreign text.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def render_html(content: ReportContent, *, key_slice_png: bytes, grad_cam_png: bytes) -> bytes:
    """Render the report page.

    Parameters
    ----------
    content : ReportContent
        The texts.
    key_slice_png, grad_cam_png : bytes
        The pictures as PNG files.

    Returns
    -------
    page : bytes
        UTF-8 HTML.
    """
    pictures = {
        "key_slice": base64.b64encode(key_slice_png).decode("ascii"),
        "grad_cam": base64.b64encode(grad_cam_png).decode("ascii"),
    }
    return _template().render(report=content, pictures=pictures).encode("utf-8")
