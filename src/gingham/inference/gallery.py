"""Explanations of many images as files: a picture, arrays, or a folder of pictures."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from gingham.errors import DataError, ImageError, SchemaError, UserError
from gingham.inference.explain import Explanation
from gingham.inference.explained import explained_png
from gingham.inference.load import Item
from gingham.inference.tagger import Tagger
from gingham.progress import Inside, Reporter
from gingham.schema import AttributeSchema
from gingham.storage import write_bytes

__all__ = ["check_gallery", "chosen_attributes", "explanation_arrays", "write_explanations"]

_MOST = 20
"""Images in one file."""

_FILES = (".png", ".npz")


def chosen_attributes(schema: AttributeSchema, names: Sequence[str]) -> tuple[str, ...]:
    """The attributes that were asked for, in the schema's order; all, if none was.

    Raises:
        SchemaError: one is not in the schema.
    """
    for name in names:
        if name not in schema.names:
            raise SchemaError(f"attribute '{name}': this model has none of that name; it has {', '.join(schema.names)}")
    return tuple(name for name in schema.names if name in names or not names)


def check_gallery(out: Path, items: Sequence[Item]) -> None:
    """Check that explanations of these images can be written to `out`, before any is made.

    Raises:
        UserError: too many for one file, the ending is another, or the folder is in use.
        DataError: two images would have the same picture.
    """
    if out.suffix.lower() in _FILES and not out.is_dir():
        if len(items) > _MOST:
            raise UserError(f"{out}: {len(items)} images, and one file holds {_MOST}; give a folder, or fewer images")
        return
    if out.suffix and not out.is_dir():
        raise UserError(f"{out}: the ending must be .png or .npz; or give a folder, whose name has no ending")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: is not an empty folder; remove it, or choose another name")
    places: dict[PurePosixPath, str] = {}
    for item in items:
        first = places.setdefault(_place(item.id), item.id)
        if first != item.id:
            raise DataError(f"images '{first}' and '{item.id}' would have the same picture; explain one at a time")


def write_explanations(
    tagger: Tagger,
    items: Sequence[Item],
    out: Path,
    attributes: tuple[str, ...],
    *,
    occlusion: bool = True,
    reporter: Reporter,
) -> int:
    """Explain images and write what `out` asks for; `check_gallery` has passed.

    Args:
        tagger: explains them.
        items: the images; at least one.
        out: `.png`: all in one picture; `.npz`: their arrays; else a folder, with one picture of each image.
        attributes: which of them are shown.
        occlusion: see `Tagger.explain`.
        reporter: hears of progress, and of images that cannot be read.

    Returns:
        How many images cannot be read. They are left out.

    Raises:
        ImageError: none can be read.
        MachineError: the disk is full or refuses.
    """
    failures: list[ImageError] = []

    def explained() -> Iterator[Explanation]:
        inside = Inside(reporter)
        with reporter.bar("explaining", len(items)) as bar:
            inside.outer = bar
            for item in items:
                try:
                    yield tagger.explain(item, occlusion=occlusion, reporter=inside).of(attributes)
                except ImageError as failure:
                    failures.append(failure)
                    if len(failures) == len(items):
                        raise
                    reporter.warn(f"left out: {failure}")
                bar.advance()

    if out.suffix.lower() in _FILES and not out.is_dir():
        every = list(explained())
        write_bytes(out, explained_png(every) if out.suffix.lower() == ".png" else explanation_arrays(every))
    else:
        for one in explained():
            write_bytes(out / _place(one.id), explained_png([one]))
    return len(failures)


def explanation_arrays(explanations: Sequence[Explanation]) -> bytes:
    """A NumPy archive without pickles, for `np.load`.

    `ids` `[N]`, `attributes` `[K]`, `labels` `[N, K]`, `confidence` `[N, K]`, `beyond` `[N, K]`; and of image number n,
    from 0, `picture_n`, `attention_n` and, if there is one, `occlusion_n`, as in `Explanation`.
    """
    arrays = {
        "ids": np.array([one.id for one in explanations]),
        "attributes": np.array(explanations[0].attributes),
        "labels": np.array([one.labels for one in explanations]),
        "confidence": np.stack([one.confidence for one in explanations]),
        "beyond": np.stack([one.beyond for one in explanations]),
    }
    for number, one in enumerate(explanations):
        arrays |= {f"picture_{number}": one.picture, f"attention_{number}": one.attention}
        if one.occlusion is not None:
            arrays[f"occlusion_{number}"] = one.occlusion
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _place(name: str) -> PurePosixPath:
    """Where an image's picture goes, inside the folder, wherever the image is."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part not in ("..", path.anchor)]
    return PurePosixPath(*parts[:-1], f"{parts[-1]}.png")
