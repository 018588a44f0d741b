"""What approximate decoding (`--fast-decode`) changes: `python -m benchmarks.fast_decode PHOTOS... [--model BUNDLE]`.

Of each photo the views that a network takes are made twice, from exact and from approximate decoding, and compared.
With a model, the tags too. Photos that are too small for a smaller scale are counted, and left out of the figures: they
have the same bits. CPU time, exact by approximate, is of reading, decoding and resizing; the two take turns.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from gingham.data.decode import decode
from gingham.data.folder import list_images
from gingham.data.preprocess import Preprocess
from gingham.data.reduced import decode_reduced
from gingham.data.test_time import TestTime, finest_pitch
from gingham.errors import ImageError
from gingham.inference.load import Decoders, Item, Look, load
from gingham.inference.tagger import Tagger
from gingham.wardrobe import garment


class Compared(NamedTuple):
    """One photo: the scale, the differences of its views' values (0..255), and CPU seconds of both ways."""

    scale: int
    differences: npt.NDArray[np.uint8]
    exact: float
    fast: float


class _Size(NamedTuple):
    width: int
    height: int


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True), nargs=-1)
@click.option("--model", type=click.Path(path_type=Path), help="Compare its tags, in its views.")
@click.option("--size", default=224, show_default=True, help="Of the views, without a model.")
@click.option("--garments", default=0, show_default=True, help="So many synthetic garments as photos too.")
@click.option("--side", default=2400, show_default=True, help="Width and height of the garments.")
def main(photos: tuple[Path, ...], model: Path | None, size: int, garments: int, side: int) -> None:
    """Print the differences as rows of Markdown tables."""
    tagger = None if model is None else Tagger.load(model, device="cpu")
    looks = [Look(Preprocess(size=size), TestTime())]
    if tagger is not None:
        looks = list(dict.fromkeys(Look(voter.preprocess, voter.test_time) for voter in tagger.voters))
    with tempfile.TemporaryDirectory() as folder:
        for index in range(garments):
            garment(0, index, side).picture.image.save(Path(folder) / f"garment-{index}.jpg", quality=92)
        items = [Item(name, path) for name, path in list_images([*photos, *([Path(folder)] if garments else [])])]
        compared = {item.id: one for item in items if (one := compare(item, looks)) is not None}
        small = sum(one.scale == 1 for one in compared.values())
        print(f"{len(items)} photos: {len(items) - len(compared)} unreadable, {small} too small or no JPEG\n")
        print("| scale | photos | mean | 99% | 99.99% | largest | CPU time, exact / fast |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for scales in ((2,), (4,), (8,), (2, 4, 8)):
            some = [one for one in compared.values() if one.scale in scales]
            if some:
                print(row("all" if len(scales) > 1 else f"1/{scales[0]}", some))
        if tagger is not None and model is not None:
            reduced = [item for item in items if item.id in compared and compared[item.id].scale > 1]
            tags(tagger, Tagger.load(model, device="cpu", fast_decode=True), reduced)


def compare(item: Item, looks: list[Look]) -> Compared | None:
    """The views of one photo, both ways; None = it cannot be read."""
    path = item.source
    assert isinstance(path, Path)

    def finest(width: int, height: int) -> float:
        return min(finest_pitch(_Size(width, height), None, *look) for look in looks)

    times: dict[Decoders, float] = {}
    views = {}
    ways = Decoders(decode), Decoders(decode, decode_reduced)
    for way in (*ways, *reversed(ways)):
        begin = time.process_time()
        _, found, _ = load(looks, way, item)
        times[way] = min(times.get(way, np.inf), time.process_time() - begin)
        if isinstance(found, ImageError):
            return None
        views[way] = np.concatenate([view.reshape(-1) for own in found for view in own])
    difference = np.abs(views[ways[0]].astype(np.int16) - views[ways[1]]).astype(np.uint8)
    return Compared(decode_reduced(path, finest).scale, difference, times[ways[0]], times[ways[1]])


def row(name: str, some: list[Compared]) -> str:
    """One row: differences of all values, and the median ratio of CPU times with its quartiles."""
    values = np.concatenate([one.differences for one in some])
    most = np.quantile(values, [0.99, 0.9999])
    low, middle, high = np.quantile([one.exact / one.fast for one in some], [0.25, 0.5, 0.75])
    return (
        f"| {name} | {len(some)} | {values.mean():.2f} | {most[0]:.0f} | {most[1]:.0f} | {values.max()} | "
        f"{middle:.1f} ({low:.1f} to {high:.1f}) |"
    )


def tags(exact: Tagger, fast: Tagger, items: list[Item]) -> None:
    """Print how the tags of both ways differ."""
    decider = exact.decider()
    schema = exact.schema
    first, second = (np.stack(list(_logits(tagger, items))) for tagger in (exact, fast))
    a, b = (exact.calibration.calibration.probabilities(logits) for logits in (first, second))
    pairs = list(zip(decider.many(first), decider.many(second), strict=True))
    print("\n| attribute | tags | differ | largest probability difference | confidence of a tag that differs |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, part in zip(schema.names, schema.slices, strict=True):
        moved = [one[name].confidence for one, other in pairs if one[name].label != other[name].label]
        sure = f"at most {max(moved):.2f}" if moved else "-"
        print(f"| {name} | {len(pairs)} | {len(moved)} | {np.abs(a[:, part] - b[:, part]).max():.3f} | {sure} |")
    total = sum(one[name].label != other[name].label for one, other in pairs for name in schema.names)
    count = len(pairs) * len(schema.names)
    print(f"| all | {count} | {total} ({total / count:.2%}) | {np.abs(a - b).max():.3f} | |")


def _logits(tagger: Tagger, items: list[Item]) -> Iterator[npt.NDArray[np.float32]]:
    for outcome in tagger.stream(items):
        assert outcome.logits is not None
        yield outcome.logits


if __name__ == "__main__":
    main()
