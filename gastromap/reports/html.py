"""The report as one self-contained HTML file in all languages: nothing loaded from anywhere, one script of its own.

The page is whole without the script: static pictures, the nomogram of this patient, the language it was made in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from gastromap.reports.catalogue import LANGUAGES, Language, say
from gastromap.reports.comparison_content import map_texts
from gastromap.reports.comparison_pictures import ComparisonPictures
from gastromap.reports.content import ReportContent
from gastromap.reports.drawing import HEAT_OPACITY, as_png, heat_scale
from gastromap.reports.nomogram_data import nomogram_controls, nomogram_data
from gastromap.reports.viewer_data import PRESETS
from gastromap.text import Text

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render_html"]

_FOLDER: Final = Path(__file__).parent
#: One language of a text, and foreign words, in HTML and in SVG.
_PARTS: Final = {
    "span": Markup('<span class="t" lang="{}">{}</span>'),
    "tspan": Markup('<tspan class="t" lang="{}">{}</tspan>'),
}
_FOREIGN: Final = {"span": Markup('<span lang="en">{}</span>'), "tspan": Markup('<tspan lang="en">{}</tspan>')}
_ATTRIBUTES: Final = {
    "alt": (Markup('alt="{}"'), Markup(' data-alt-{}="{}"')),
    "aria-label": (Markup('aria-label="{}"'), Markup(' data-label-{}="{}"')),
}
_SCRIPTS: Final = ("viewer.js", "nomogram.js", "language.js")


def _said(text: str, tag: str = "span") -> Markup:
    """Text in every language, one of which the page shows; foreign words are marked as English."""
    if not isinstance(text, Text):
        return _FOREIGN[tag].format(text) if re.search("[A-Za-z]{3}", text) else escape(text)
    shown = {language: say(text, language) for language in LANGUAGES}
    if len(set(shown.values())) == 1:
        return escape(shown["en"])
    return Markup("").join(_PARTS[tag].format(language, words) for language, words in shown.items())


def _attribute(text: str, name: str, language: Language) -> Markup:
    """Attribute ``alt`` or ``aria-label`` in the language of the page, with the others beside it for the script."""
    shown, kept = _ATTRIBUTES[name]
    return shown.format(say(text, language)) + Markup("").join(kept.format(o, say(text, o)) for o in LANGUAGES)


def _content(text: str) -> Markup:
    """Attributes of an element that holds nothing but a text and may hold no other element, such as ``title``."""
    return Markup("").join(Markup(' data-text-{}="{}"').format(other, say(text, other)) for other in LANGUAGES)


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaping is on: header texts such as a patient name are foreign text.
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(_FOLDER),
    )
    environment.filters |= {"said": _said, "attribute": _attribute, "texts": _content, "say": say}
    # The catalogue's keys stand in the templates as ``_("…")``.
    environment.globals["_"] = Text
    return environment.get_template("report.html")


@lru_cache(maxsize=1)
def _script() -> tuple[Markup, str]:
    """Script of the page and its hash for the content security policy: no other script can run in the page."""
    text = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Markup(text), f"sha256-{digest}"  # noqa: S704 -- files of this package


def _heat_gradient() -> Markup:
    """Scale of the heat map for the style sheet, in the colours of the pictures."""
    stops = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in heat_scale(15).tolist())
    return Markup("linear-gradient(90deg,{})").format(stops)


def _encoded(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def _drawn(pixels: NDArray[np.uint8]) -> str:
    return _encoded(as_png(pixels))


def _data(content: Any) -> Markup:
    """JSON for a data block: a ``<`` in a text must not end it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 -- just made harmless


def _viewer(data: dict[str, Any]) -> dict[str, Any]:
    offsets = [slice_["offset"] for slice_ in data["slices"]]
    return {"data": _data(data), "count": len(offsets), "key": offsets.index(0)}


def render_html(
    content: ReportContent,
    *,
    key_slice_png: bytes,
    grad_cam_png: bytes,
    compared: ComparisonPictures | None = None,
    neighbours: Sequence[tuple[str, NDArray[np.uint8]]] = (),
    viewers: Mapping[str, dict[str, Any]] | None = None,
    language: Language = "en",
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
    neighbours : sequence of (str, array)
        Slices beside the key slice with their captions, for print and for a page without script.
    viewers : mapping, optional
        Of :func:`gastromap.reports.viewer_data.viewers_of`; without it there are static pictures only.
    language : {"en", "zh"}
        Shown first; all of them are in the page.

    Returns
    -------
    page : bytes
        UTF-8 HTML.
    """
    pictures: dict[str, Any] = {
        "key_slice": _encoded(key_slice_png),
        "grad_cam": _encoded(grad_cam_png),
        "neighbours": [(caption, _drawn(pixels)) for caption, pixels in neighbours],
    }
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
    script, digest = _script()
    chart = content.chart
    page = _template().render(
        report=content,
        pictures=pictures,
        viewers={name: _viewer(data) for name, data in (viewers or {}).items()},
        presets=PRESETS,
        heat_opacity=HEAT_OPACITY,
        controls=() if chart is None else nomogram_controls(chart),
        nomogram=None if chart is None else _data(nomogram_data(chart)),
        language=language,
        languages=LANGUAGES,
        script=script,
        digest=digest,
        heat_gradient=_heat_gradient(),
    )
    return page.encode("utf-8")
