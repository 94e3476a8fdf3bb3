"""Drawing of CT slices, plain and with a heat map, in radiological convention.

Radiological convention: the patient's right is at the left edge, anterior at the top. The pixels are turned by the
affine, not by what the scanner usually does, so that a prone or feet-first series is shown right too.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gastromap.reports.phrases import RESEARCH_USE
from gastromap.volume import CtVolume

__all__ = [
    "HEAT_COLOURS",
    "HEAT_ONSET",
    "HEAT_OPACITY",
    "OPPOSITE",
    "WINDOW_LEVEL",
    "WINDOW_WIDTH",
    "DisplayPlan",
    "as_png",
    "draw_slice",
    "draw_tile",
    "heat_scale",
    "plan_display",
    "scale_bar_mm",
    "slice_lines",
    "turn",
    "windowed",
]

WINDOW_LEVEL, WINDOW_WIDTH = 50.0, 350.0
_LONG_SIDE = 720  #: pixels of the longer side of the slice
_SHORTEST = 600  #: pixels that the text needs in width
_STRIP = 96  #: pixels below the slice, for text that must not cover anatomy
_WHITE, _GREY, _AMBER = (255, 255, 255), (190, 190, 190), (255, 205, 110)
#: Heat colours: dark to light, so that the order survives in grey print; alpha rises with the value.
HEAT_COLOURS = ((45, 10, 90), (165, 30, 110), (240, 110, 45), (255, 240, 130))
#: Nothing is tinted below the first value, weak activation all over the body would only hide the anatomy; from the
#: second on the colour has its full opacity.
HEAT_ONSET = (0.15, 0.6)
HEAT_OPACITY = 0.62
_DIRECTIONS = (("L", "R"), ("P", "A"), ("H", "F"))  # patient axis (LPS): positive, negative


@dataclass(frozen=True)
class DisplayPlan:
    """How a slice is turned and scaled for the screen.

    Attributes
    ----------
    transpose, flip_rows, flip_columns : bool
        Applied in this order to an array (rows, columns).
    right, down : str
        Patient direction towards which the picture's rows and columns run (``L``, ``P``, ``F`` …).
    size : tuple of int
        Width and height in pixels after scaling to square pixels.
    mm_per_pixel : float
        Of the scaled picture.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    right: str
    down: str
    size: tuple[int, int]
    mm_per_pixel: float


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    # Level 4 is twice as fast as the default and costs a few per cent of size.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _DIRECTIONS[axis][0 if direction[axis] > 0 else 1]


OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def plan_display(volume: CtVolume, *, long_side: int = _LONG_SIDE) -> DisplayPlan:
    """Find the turn that shows a slice of this volume in radiological convention.

    Parameters
    ----------
    volume : CtVolume
        Only its affine and shape are used.
    """
    columns_to = np.asarray(volume.affine_lps[:3, 0], dtype=float)  # where the column index runs
    rows_to = np.asarray(volume.affine_lps[:3, 1], dtype=float)
    normal = int(np.argmax(np.abs(np.cross(columns_to, rows_to))))
    # Axial and coronal slices have the left side of the patient on the right of the picture, sagittal ones the back.
    horizontal = 1 if normal == 0 else 0
    transpose = abs(rows_to[horizontal]) > abs(columns_to[horizontal])
    across, along = (rows_to, columns_to) if transpose else (columns_to, rows_to)
    flip_columns = bool(across[horizontal] < 0)
    vertical = 1 if normal == 2 else 2
    # Downwards: posterior on axial slices, feet on the others.
    flip_rows = bool(along[vertical] < 0) if vertical == 1 else bool(along[vertical] > 0)
    rows, columns = volume.hu.shape[1:]
    if transpose:
        rows, columns = columns, rows
    width_mm, height_mm = columns * float(np.linalg.norm(across)), rows * float(np.linalg.norm(along))
    mm_per_pixel = max(width_mm, height_mm) / long_side
    size = (max(1, round(width_mm / mm_per_pixel)), max(1, round(height_mm / mm_per_pixel)))
    right = _letter(-across if flip_columns else across)
    down = _letter(-along if flip_rows else along)
    return DisplayPlan(bool(transpose), flip_rows, flip_columns, right, down, size, mm_per_pixel)


def turn(array: NDArray[np.float32], plan: DisplayPlan) -> NDArray[np.float32]:
    """Turn and scale one slice (rows, columns) for the screen."""
    turned = array.T if plan.transpose else array
    turned = turned[::-1] if plan.flip_rows else turned
    turned = turned[:, ::-1] if plan.flip_columns else turned
    image = Image.fromarray(np.ascontiguousarray(turned, dtype=np.float32))
    return np.asarray(image.resize(plan.size, Image.Resampling.BILINEAR), dtype=np.float32)


def windowed(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey values, 0 to 255, of Hounsfield units."""
    low = WINDOW_LEVEL - WINDOW_WIDTH / 2
    return np.clip((hu - low) / WINDOW_WIDTH, 0.0, 1.0) * 255.0


def _heat_colours(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    anchors = np.array(HEAT_COLOURS, dtype=float)
    steps = np.linspace(0.0, 1.0, len(anchors))
    colours = np.stack([np.interp(values, steps, anchors[:, channel]) for channel in range(3)], axis=-1)
    alpha = np.interp(values, HEAT_ONSET, [0.0, HEAT_OPACITY])[..., None]
    return colours, alpha


def _blend(grey: NDArray[np.float32], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    colours, alpha = _heat_colours(np.clip(heat, 0.0, 1.0))
    return np.rint(grey[..., None] * (1.0 - alpha) + colours * alpha).astype(np.uint8)


def heat_scale(steps: int) -> NDArray[np.uint8]:
    """Colours of the heat map from 0 to 1 as they look on mid-grey tissue, shape (steps, 3)."""
    return _blend(np.full(steps, 110.0, dtype=np.float32), np.linspace(0.0, 1.0, steps, dtype=np.float32))


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def scale_bar_mm(plan: DisplayPlan) -> int:
    """Length of the scale bar: the longest round one that takes less than a quarter of the width."""
    return next((mm for mm in (50, 20, 10, 5) if mm / plan.mm_per_pixel < plan.size[0] / 4), 5)


def _annotate(draw: ImageDraw.ImageDraw, plan: DisplayPlan) -> None:
    """Write orientation letters and the scale bar onto the slice."""
    width, height = plan.size
    style = {"fill": _WHITE, "stroke_width": 2, "stroke_fill": (0, 0, 0), "font": _font(28)}
    draw.text((10, height / 2), OPPOSITE[plan.right], anchor="lm", **style)  # type: ignore[arg-type]
    draw.text((width - 10, height / 2), plan.right, anchor="rm", **style)  # type: ignore[arg-type]
    draw.text((width / 2, 8), OPPOSITE[plan.down], anchor="mt", **style)  # type: ignore[arg-type]
    draw.text((width / 2, height - 8), plan.down, anchor="mb", **style)  # type: ignore[arg-type]
    length = scale_bar_mm(plan)
    x, y, pixels = 16, height - 18, round(length / plan.mm_per_pixel)
    draw.line([(x, y), (x + pixels, y)], fill=(0, 0, 0), width=7)
    draw.line([(x, y), (x + pixels, y)], fill=_WHITE, width=3)
    for end in (x, x + pixels):
        draw.line([(end, y - 6), (end, y + 6)], fill=_WHITE, width=3)
    draw.text(
        (x + pixels / 2, y - 9),
        f"{length} mm",
        anchor="mb",
        font=_font(20),
        fill=_WHITE,
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )


def _colour_bar(draw: ImageDraw.ImageDraw, *, right: int, top: int) -> None:
    """Draw the scale of the heat map."""
    length, height = 120, 15
    left = right - length - 42
    for step, colour in enumerate(heat_scale(length)):
        draw.line([(left + step, top), (left + step, top + height)], fill=tuple(int(c) for c in colour))
    draw.rectangle([left - 1, top - 1, left + length, top + height + 1], outline=_GREY)
    draw.text((left - 7, top + height / 2), "low", anchor="rm", font=_font(17), fill=_GREY)
    draw.text((right - 36, top + height / 2), "high", anchor="lm", font=_font(17), fill=_GREY)


def _framed(pixels: NDArray[np.uint8], plan: DisplayPlan, lines: tuple[str, str], *, bar: bool) -> NDArray[np.uint8]:
    width, height = max(plan.size[0], _SHORTEST), plan.size[1]
    picture = Image.fromarray(pixels)
    _annotate(ImageDraw.Draw(picture), plan)
    canvas = Image.new("RGB", (width, height + _STRIP))
    canvas.paste(picture, ((width - plan.size[0]) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    notice = f"GastroMAP: {RESEARCH_USE}"
    draw.text((12, height + 20), notice, anchor="lm", font=_font(21), fill=_AMBER)
    for y, line in zip((49, 76), lines, strict=True):
        draw.text((12, height + y), line, anchor="lm", font=_font(19), fill=_WHITE)
    if bar:
        _colour_bar(draw, right=width - 12, top=height + 12)
    return np.asarray(canvas, dtype=np.uint8)


def draw_slice(
    volume: CtVolume, index: int, lines: tuple[str, str], *, heat: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Draw one slice with orientation letters, scale bar and a strip of text that begins with the research-use line.

    Parameters
    ----------
    volume : CtVolume
    index : int
        Of the slice.
    lines : (str, str)
        Below the research-use line.
    heat : array, shape (rows, columns), 0 to 1, optional
        Drawn over the slice, with its scale in the strip.

    Returns
    -------
    array, shape (rows, columns, 3)
        No patient data.
    """
    plan = plan_display(volume)
    grey = windowed(turn(volume.hu[index], plan))
    return _framed(_tinted(grey, heat, plan), plan, lines, bar=heat is not None)


def draw_tile(
    volume: CtVolume,
    index: int,
    *,
    heat: NDArray[np.float32] | None = None,
    mark: tuple[float, float] | None = None,
    side: int = 400,
) -> NDArray[np.uint8]:
    """Draw one slice without a strip of text, for a page that carries the research-use line itself.

    Parameters
    ----------
    volume, index, heat
        As of :func:`draw_slice`.
    mark : (row, column), optional
        Of the slice; drawn as a ring.
    side : int
        Pixels of the longer side.
    """
    plan = plan_display(volume, long_side=side)
    grey = windowed(turn(volume.hu[index], plan))
    picture = Image.fromarray(_tinted(grey, heat, plan))
    draw = ImageDraw.Draw(picture)
    _annotate(draw, plan)
    if mark is not None:
        x, y = _on_picture(mark, volume.hu.shape[1:], plan)
        for radius, colour, width in ((13, (0, 0, 0), 6), (12, _AMBER, 3)):
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=colour, width=width)
    return np.asarray(picture, dtype=np.uint8)


def _tinted(grey: NDArray[np.float32], heat: NDArray[np.float32] | None, plan: DisplayPlan) -> NDArray[np.uint8]:
    if heat is None:
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)
    return _blend(grey, turn(np.asarray(heat, dtype=np.float32), plan))


def _on_picture(place: tuple[float, float], shape: tuple[int, ...], plan: DisplayPlan) -> tuple[float, float]:
    """Pixel (x, y) of a place (row, column) on a slice, both counted from the centre of the first pixel."""
    (row, column), (rows, columns) = place, shape
    if plan.transpose:
        row, column, rows, columns = column, row, columns, rows
    down = 1 - (row + 0.5) / rows if plan.flip_rows else (row + 0.5) / rows
    across = 1 - (column + 0.5) / columns if plan.flip_columns else (column + 0.5) / columns
    return across * plan.size[0], down * plan.size[1]


def slice_lines(volume: CtVolume, index: int) -> tuple[str, str]:
    """Where a slice lies and how it is windowed."""
    z = float((volume.affine_lps @ [0.0, 0.0, float(index), 1.0])[2])
    return (
        f"slice {volume.index_from_feet(index)} from the feet, z {z:.1f} mm",
        f"window {WINDOW_LEVEL:.0f}/{WINDOW_WIDTH:.0f} HU",
    )
