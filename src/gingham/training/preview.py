"""A contact sheet of what training sees: images, views of them, and mixtures of these."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gingham.data.decode import decode
from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.inference.cached import box_of
from gingham.storage import write_bytes
from gingham.training.checks import check_composition
from gingham.training.inputs import PixelInputs, content_numbers
from gingham.training.mix import Mixing, draw_mixing, mixed_inputs
from gingham.training.recipe import Recipe

__all__ = ["augment_preview"]

_SIDE = 192
_GAP, _CAPTION = 6, 18

Pixels = npt.NDArray[np.uint8]
Cell = tuple[str, Pixels]


def augment_preview(data: Path, recipe: Recipe, out: Path, *, images: int = 4, views: int = 6) -> int:
    """Write a PNG of training images as the network gets them.

    A row an image: first the evaluation view, then the training views: of the first epochs, or with cached features
    those that are kept. If the recipe mixes, a second row an image shows it as the first steps would mix a batch of
    these images; each caption says what it consists of. Mixed tokens cannot be seen: pixels stand for them.
    Of a recipe with members each member has rows of its own.

    Args:
        data: folder or table of labelled photos.
        recipe: how they are read and varied.
        out: the PNG.
        images: how many, spread over the training split; fewer if there are not so many.
        views: of each of them.

    Returns:
        How many images are shown.

    Raises:
        UserError: the data or recipe are wrong.
        ImageError: an image cannot be read.
        MachineError: the disk is full or refuses.
    """
    recipes = recipe.member_recipes() or {"": recipe}
    for one in recipes.values():
        check_composition(one)
    table = read_labels(data, recipe.data).split("train")
    rows = np.unique(np.linspace(0, len(table) - 1, min(images, len(table)), dtype=np.int64))
    lines = [line for name, one in recipes.items() for line in _lines(one, table, rows, views, name)]
    write_bytes(out, _png(lines, views + 1))
    return len(rows)


def _lines(
    recipe: Recipe, table: LabelTable, rows: npt.NDArray[np.int64], views: int, member: str
) -> list[Sequence[Cell | None]]:
    """What one recipe makes of these rows."""
    cache = recipe.features
    inputs = PixelInputs(
        table,
        table,
        recipe.preprocess,
        recipe.augment,
        seed=cache.view_seed if cache.cache else recipe.train.seed,
        max_pixels=recipe.data.max_pixels,
        numbers=content_numbers(table, recipe.train.workers) if cache.cache else None,
    )
    there_are = cache.views if cache.cache else views
    seen = [inputs.train(epoch, rows) for epoch in range(min(there_are, views))]
    lines: list[Sequence[Cell | None]] = []
    mixes = recipe.mix.used and len(rows) > 1
    names = [Path(table.images[row]).name for row in rows.tolist()]
    mixed = [_mixed(recipe, inputs.grid, names, step, seen[step % len(seen)]) for step in range(views if mixes else 0)]
    for number, row in enumerate(rows.tolist()):
        caption, pixels = _evaluated(recipe, table, row)
        plain = [(f"view {epoch + 1}", batch[number].numpy()) for epoch, batch in enumerate(seen)]
        lines.append([(f"{member}: {caption}" if member else caption, pixels), *plain])
        if mixes:
            lines.append([None, *(column[number] for column in mixed)])
    return lines


def _evaluated(recipe: Recipe, table: LabelTable, row: int) -> Cell:
    image = decode(table.path(row), max_pixels=recipe.data.max_pixels)
    return Path(table.images[row]).name, recipe.preprocess.apply(image, box_of(table, row))


def _mixed(recipe: Recipe, grid: tuple[int, int], names: Sequence[str], step: int, seen: Tensor) -> list[Cell]:
    """One step's batch of all images, with captions."""
    batch = np.arange(len(names))
    mixing = draw_mixing(recipe.mix, recipe.train.seed, step, len(batch), grid)
    mixed = mixed_inputs(mixing, lambda rows: seen[torch.from_numpy(rows)], batch, batch, grid)
    return [(_caption(mixing, names, number), mixed[number].numpy()) for number in range(len(batch))]


def _caption(mixing: Mixing | None, names: Sequence[str], number: int) -> str:
    if mixing is None or mixing.shares[number] == 1:
        return "not mixed"
    partner = names[mixing.partners[number]]
    kind = "CutMix" if mixing.rectangles[number].any() else "MixUp"
    return f"{kind}: {100 * (1 - mixing.shares[number]):.0f}% {partner}"


def _png(sheet: Sequence[Sequence[Cell | None]], columns: int) -> bytes:
    """Rows of captioned squares on white; None = an empty place."""
    wide, high = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
    page = Image.new("RGB", (_GAP + columns * wide, _GAP + len(sheet) * high), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for down, line in enumerate(sheet):
        for right, cell in enumerate(line):
            if cell is None:
                continue
            caption, pixels = cell
            x, y = _GAP + right * wide, _GAP + down * high
            page.paste(Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (x, y))
            room = pen.textlength(caption, font)
            shorter = caption if room <= _SIDE else caption[: max(1, int(len(caption) * _SIDE / room) - 1)] + "…"
            pen.text((x, y + _SIDE + 2), shorter, fill="black", font=font)
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
