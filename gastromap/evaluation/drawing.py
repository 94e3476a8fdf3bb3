"""Common look of the figures of the evaluation, and their bytes; matplotlib is imported only here and when drawing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "INK", "PALE", "RED", "STAGE_COLOURS", "axes_of", "figure_bytes", "house_style"]

#: Light to dark with the stage, apart in grey print and for the colour-blind.
STAGE_COLOURS = ("#7fb8da", "#3d8dbf", "#b5651d", "#6b2737")
BLUE, RED, GREY, PALE, INK = "#1f5f8b", "#a4343a", "#7b8794", "#cfdde8", "#17212b"
#: Tried in this order where they are installed, so that Chinese, Japanese and Korean names are drawn too.
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP")


@cache
def _installed_fonts() -> list[str]:
    from matplotlib import font_manager

    manager = font_manager.fontManager
    if not {entry.name for entry in manager.ttflist} & set(_FONTS[1:]):
        # Fonts that were installed after matplotlib wrote its list are not on it.
        for path in font_manager.findSystemFonts():
            if "notosanscjk" in path.lower():
                manager.addfont(path)
    known = {entry.name for entry in manager.ttflist}
    return [name for name in _FONTS if name in known] or ["sans-serif"]


@contextmanager
def house_style() -> Iterator[None]:
    """Settings for drawing and saving; those of the caller come back afterwards."""
    import matplotlib

    settings: dict[str, Any] = {
        "font.family": _installed_fonts(),
        "font.size": 9,
        "axes.edgecolor": "#9aa5b1",
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "grid.color": "#e4e9ee",
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.8,
        "text.color": INK,
        "xtick.color": "#4a5663",
        "ytick.color": "#4a5663",
        # The same figure gives the same bytes.
        "svg.hashsalt": "gastromap",
        "svg.fonttype": "path",
    }
    with matplotlib.rc_context(settings):
        yield


def axes_of(width: float = 4.6, height: float = 4.2, *, square: bool = False) -> tuple[Figure, Axes]:
    """Figure with one pair of axes, not registered with pyplot, so nothing stays open; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    if square:
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure, axes


def figure_bytes(figure: Figure, file_format: str) -> bytes:
    """PNG (200 dots an inch) or SVG of a figure."""
    stream = io.BytesIO()
    metadata = {"Date": None} if file_format == "svg" else {"Software": None}
    figure.savefig(stream, format=file_format, dpi=200, metadata=metadata, facecolor="white")
    return stream.getvalue()
