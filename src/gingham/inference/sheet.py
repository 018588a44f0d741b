"""A picture of tagged photos: what the tagger says under each, and how sure it is."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from gingham.data.decode import decode
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED
from gingham.storage import write_bytes

__all__ = ["tagged_sheet"]

_SIDE, _GAP, _LINE, _TEXT = 190, 16, 17, 11
_PAPER, _INK, _FAINT, _WRONG, _BAR = "#ffffff", "#1c1e21", "#8a8f98", "#b3261e", "#dfe5ee"


def tagged_sheet(
    predictions: Predictions, paths: Sequence[Path], out: Path, *, columns: int = 6, rows: int = 2
) -> None:
    """Write a PNG of the first photos with their tags; where targets are known, wrong tags are red and say the truth.

    Args:
        predictions: of the photos, in order.
        paths: where the photos are.
        out: the PNG.
        columns: photos side by side.
        rows: rows of photos.

    Raises:
        ImageError: a photo cannot be read.
        MachineError: the disk is full or refuses.
    """
    shown = min(len(predictions), columns * rows)
    schema = predictions.schema
    height = _SIDE + 8 + _LINE * len(schema)
    width_all = _GAP + columns * (_SIDE + _GAP)
    height_all = _GAP + -(-shown // columns) * (height + _GAP)
    # Twice the size, so that it is sharp on dense screens.
    page = Image.new("RGB", (2 * width_all, 2 * height_all), _PAPER)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(2 * _TEXT)
    probabilities, best = predictions.probabilities, predictions.predicted
    for number in range(shown):
        left = 2 * (_GAP + number % columns * (_SIDE + _GAP))
        top = 2 * (_GAP + number // columns * (height + _GAP))
        photo = ImageOps.contain(decode(paths[number]), (2 * _SIDE, 2 * _SIDE), Image.Resampling.LANCZOS)
        page.paste(photo, (left + (2 * _SIDE - photo.width) // 2, top + (2 * _SIDE - photo.height) // 2))
        for k, (attribute, part) in enumerate(zip(schema.attributes, schema.slices, strict=True)):
            chosen = int(best[number, k])
            truth = UNLABELLED if predictions.targets is None else int(predictions.targets[number, k])
            confidence = float(probabilities[number, part][chosen])
            y = top + 2 * (_SIDE + 8 + k * _LINE)
            pen.rectangle((left, y, left + int(2 * _SIDE * confidence), y + 2 * _LINE - 4), fill=_BAR)
            wrong = truth not in (UNLABELLED, chosen)
            text = attribute.classes[chosen] + (f"  (is {attribute.classes[truth]})" if wrong else "")
            pen.text((left + 6, y + 1), text, fill=_WRONG if wrong else _INK, font=font)
            pen.text(
                (left + 2 * _SIDE - 6, y + 1), f"{np.floor(100 * confidence):.0f}%", fill=_FAINT, font=font, anchor="ra"
            )
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    write_bytes(out, buffer.getvalue())
