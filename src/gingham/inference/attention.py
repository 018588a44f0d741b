"""Where a tagger looks in some photos of a label table: the attention that a report lays over them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gingham.data.table import LabelTable
from gingham.inference.load import Item
from gingham.inference.tagger import Tagger
from gingham.progress import Reporter

__all__ = ["attention_of"]


def attention_of(
    tagger: Tagger, table: LabelTable, images: Sequence[str], *, reporter: Reporter | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """Explain the tags of some photos, without occlusion.

    Args:
        tagger: what tags them.
        table: where they are, with their boxes.
        images: some of the table's images.
        reporter: hears of progress.

    Returns:
        Image -> float32 `[K, rows, columns]`, over the whole photo; see `Explanation`.

    Raises:
        ImageError: a photo cannot be read.
    """
    row_of = {name: row for row, name in enumerate(table.images)}
    found = {}
    with (reporter or Reporter()).bar("explaining", len(images)) as bar:
        for name in images:
            row = row_of[name]
            item = Item(name, table.path(row), None if table.boxes is None else table.boxes[row])
            found[name] = tagger.explain(item, occlusion=False).attention
            bar.advance()
    return found
