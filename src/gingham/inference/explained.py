"""A picture of explanations: each photo beside its maps."""

import functools
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gingham.evaluation.fonts import font_file
from gingham.evaluation.heat import heat_bar, heat_over
from gingham.inference.explain import Explanation

__all__ = ["explained_png"]

_PAPER, _INK, _FAINT, _LINE = "#ffffff", "#1c1e21", "#6b7280", "#e5e7eb"
# In points; everything is drawn at twice the size, so that it is sharp on dense screens.
_SCALE = 2
_MARGIN, _GAP, _BETWEEN = 28, 30, 6
_MAP, _TITLE, _CAPTION, _FOOT = 176, 26, 20, 46


class _Block(NamedTuple):
    """Sizes of one photo's part of the page, in pixels."""

    columns: int
    rows: int
    map: tuple[int, int]
    photo: tuple[int, int]
    cell: tuple[int, int]
    size: tuple[int, int]


def explained_png(explanations: Sequence[Explanation]) -> bytes:
    """Draw explanations below each other: the photo, and for each attribute the tag, its confidence and its maps.

    Each map has colours of its own, from none to its greatest weight; what that is in log-odds stands below an
    occlusion map.

    Args:
        explanations: at least one.

    Returns:
        A PNG file.
    """
    blocks = [_block(one) for one in explanations]
    margin, between = _MARGIN * _SCALE, 2 * _MARGIN * _SCALE
    width = max(block.size[0] for block in blocks) + 2 * margin
    height = sum(block.size[1] + between for block in blocks) - between + 2 * margin + _FOOT * _SCALE
    page = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(page)
    top = margin
    for number, (one, block) in enumerate(zip(explanations, blocks, strict=True)):
        if number:
            y = top - between // 2
            pen.line((margin, y, width - margin, y), fill=_LINE, width=_SCALE)
        _draw(page, pen, one, block, margin, top)
        top += block.size[1] + between
    _legend(page, pen, margin, height - margin, signed=any(one.occlusion is not None for one in explanations))
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _block(one: Explanation) -> _Block:
    count = len(one.attributes)
    columns = max(1, round(math.sqrt(0.7 * count)))
    rows = math.ceil(count / columns)
    small = _fit(one.picture, _MAP * _SCALE)
    maps = 1 + (one.occlusion is not None)
    cell = maps * small[0] + (maps - 1) * _BETWEEN * _SCALE, small[1] + (_TITLE + _CAPTION) * _SCALE
    gap = _GAP * _SCALE
    # A photo that is higher than wide ends where the maps of the second row do.
    end = min(rows, 2) * (cell[1] + gap // 2) - gap // 2 - (_TITLE + _CAPTION) * _SCALE
    photo = _fit(one.picture, max(end, _MAP * _SCALE * 3 // 2))
    width = photo[0] + columns * (cell[0] + gap)
    height = max(rows * cell[1] + (rows - 1) * gap // 2, photo[1] + (_TITLE + _CAPTION) * _SCALE)
    return _Block(columns, rows, small, photo, cell, (width, height))


def _fit(picture: npt.NDArray[np.uint8], side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is `side`."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _draw(page: Image.Image, pen: ImageDraw.ImageDraw, one: Explanation, block: _Block, left: int, top: int) -> None:
    _text(pen, (left, top), one.id, 13, _INK, block.photo[0], ends=True)
    _paste(page, one.picture, block.photo, (left, top + _TITLE * _SCALE))
    gap = _GAP * _SCALE
    for k, name in enumerate(one.attributes):
        x = left + block.photo[0] + gap + k % block.columns * (block.cell[0] + gap)
        y = top + k // block.columns * (block.cell[1] + gap // 2)
        confidence = f"{math.floor(100 * one.confidence[k])}%"
        wide = _text(pen, (x + block.cell[0], y), confidence, 13, _FAINT, block.cell[0], right=True)
        room = block.cell[0] - wide - 8 * _SCALE
        label = _text(pen, (x, y), one.labels[k], 13, _INK, room)
        if label + 40 * _SCALE < room:
            _text(pen, (x + label + 7 * _SCALE, y + 2 * _SCALE), name, 11, _FAINT, room - label - 7 * _SCALE)
        y += _TITLE * _SCALE
        _paste(page, heat_over(one.picture, one.attention[k]), block.map, (x, y))
        caption = "attention" if one.beyond[k] < 0.005 else f"attention, {one.beyond[k]:.0%} beyond"
        below = y + block.map[1] + 4 * _SCALE
        _text(pen, (x, below), caption, 11, _FAINT, block.map[0])
        if one.occlusion is not None:
            x += block.map[0] + _BETWEEN * _SCALE
            _paste(page, heat_over(one.picture, one.occlusion[k], signed=True), block.map, (x, y))
            _text(pen, (x, below), f"occlusion, to {np.abs(one.occlusion[k]).max():.1f}", 11, _FAINT, block.map[0])


def _legend(page: Image.Image, pen: ImageDraw.ImageDraw, left: int, bottom: int, *, signed: bool) -> None:
    bar, y = (110 * _SCALE, 9 * _SCALE), bottom - 14 * _SCALE
    parts: list[tuple[bool, str, str]] = [(False, "attention: none", "most")]
    if signed:
        parts.append((True, "occlusion: against the tag", "for it (log-odds)"))
    for two, before, after in parts:
        left += _text(pen, (left, y - 3 * _SCALE), before, 11, _FAINT, 10**6) + 7 * _SCALE
        page.paste(Image.fromarray(heat_bar(*bar, signed=two)), (left, y))
        left += bar[0] + 7 * _SCALE
        left += _text(pen, (left, y - 3 * _SCALE), after, 11, _FAINT, 10**6) + 28 * _SCALE


def _paste(page: Image.Image, picture: npt.NDArray[np.uint8], size: tuple[int, int], place: tuple[int, int]) -> None:
    page.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), place)


def _text(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    points: int,
    fill: str,
    room: float,
    *,
    right: bool = False,
    ends: bool = False,
) -> int:
    """Write one line, shortened to the room there is (`ends`: its end is kept), and return its width."""
    font = _font(points * _SCALE, None if text.isascii() else font_file(text))
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    while len(line) > 2 and pen.textlength(line, font) > room:
        line = "…" + line[2:] if ends else line[:-2] + "…"
    pen.text(place, line, fill=fill, font=font, anchor="ra" if right else "la")
    return math.ceil(pen.textlength(line, font))


@functools.cache
def _font(size: int, file: Path | None) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font by its file, or Pillow's own."""
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
