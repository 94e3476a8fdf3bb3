"""The report as one self-contained HTML file: no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gastromap.reports.comparison_content import map_texts
from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.content import ReportContent
from gastromap.reports.drawing import as_png

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render_html"]


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaping is on: header texts such as a patient name are foreign text.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(Path(__file__).parent),
    )
    return environment.get_template("report.html")


def _encoded(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def _drawn(pixels: NDArray[np.uint8]) -> str:
    return _encoded(as_png(pixels))


def render_html(
    content: ReportContent, *, key_slice_png: bytes, grad_cam_png: bytes, compared: ComparisonPictures | None = None
) -> bytes:
    """Render the report page.

    Parameters
    ----------
    content : ReportContent
        The texts.
    key_slice_png, grad_cam_png : bytes
        The pictures as PNG files.
    compared : ComparisonPictures, optional
        There where the content has a comparison.

    Returns
    -------
    page : bytes
        UTF-8 HTML.
    """
    pictures: dict[str, Any] = {"key_slice": _encoded(key_slice_png), "grad_cam": _encoded(grad_cam_png)}
    if compared is not None:
        pictures |= {
            "before": _drawn(compared.before),
            "after": _drawn(compared.after),
            "overlay": "" if compared.overlay is None else _drawn(compared.overlay),
            "maps": [
                dict(zip(("title", "caption"), map_texts(pair), strict=True))
                | {"before": _drawn(pair.before), "after": _drawn(pair.after)}
                for pair in compared.maps
            ],
        }
    return _template().render(report=content, pictures=pictures).encode("utf-8")
