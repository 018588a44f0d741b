"""The demo: the whole path on synthetic garments, from nothing to tags."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gingham
from gingham.data.formats import read_labels
from gingham.errors import UserError
from gingham.evaluation.metrics import Metrics, evaluate
from gingham.inference.attention import attention_of
from gingham.inference.bulk import tag_images
from gingham.inference.items import gather_items
from gingham.inference.sheet import tagged_sheet
from gingham.inference.tagger import Tagger
from gingham.progress import Reporter
from gingham.report.page import Photos
from gingham.report.write import write_report
from gingham.storage import cache_directory, write_json
from gingham.training.history import HISTORY, read_history
from gingham.training.interrupt import Stop
from gingham.training.recipe import load_recipe
from gingham.training.run import train
from gingham.wardrobe import generate

__all__ = ["DemoResult", "run_demo"]

_SEED = 0


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves.

    Attributes:
        metrics: on the wardrobe's test part, which neither training nor the choice of the epoch has seen.
        files: what -> where.
    """

    metrics: Metrics
    files: dict[str, Path]


def run_demo(
    out: Path,
    *,
    count: int = 4000,
    changes: tuple[str, ...] = (),
    reporter: Reporter,
    stop: Stop | None = None,
) -> DemoResult:
    """Draw a wardrobe (kept in the cache folder), train the recipe `wardrobe` on it, measure and tag its test part.

    Args:
        out: folder of the run; new or empty.
        count: garments to draw.
        changes: `field=value` changes of the recipe.
        reporter: hears of progress.
        stop: see `train`.

    Raises:
        UserError: `out` is in use.
        MachineError: the disk is full or refuses.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists and is not an empty folder; remove it, or choose another --out")
    # Another version may draw other garments.
    data = cache_directory() / "wardrobe" / f"{gingham.__version__}-{count}-{_SEED}"
    if not data.is_dir():
        with reporter.bar("drawing garments", count) as bar:
            generate(data, count, _SEED, processes=2, progress=lambda done: bar.advance())
    train(data, load_recipe("wardrobe", changes), out, device="auto", reporter=reporter, stop=stop)
    tagger = Tagger.load(out)
    table = read_labels(data).split("test")
    predictions = tagger.predict(table, reporter=reporter, source={"split": "test"})
    predictions.to_parquet(out / "predictions-test.parquet")
    metrics = evaluate(predictions)
    write_json(out / "metrics-test.json", metrics.to_json())
    items = gather_items([data], boxes=None, split="test", options=load_recipe("wardrobe").data, reporter=reporter)
    tag_images(tagger, items, out / "tags.csv", total=len(items), options={"split": "test"}, reporter=reporter)
    tagged_sheet(predictions, table.paths(), out / "tagged.png")
    write_report(
        predictions,
        out / "report-test.html",
        title=f"{out}, held-out part",
        photos=Photos(dict(zip(table.images, table.paths(), strict=True))),
        metrics=metrics,
        history=read_history(out / HISTORY),
        explain=partial(attention_of, tagger, table, reporter=reporter),
    )
    return DemoResult(
        metrics,
        {
            "pictures with tags": out / "tagged.png",
            "table of tags": out / "tags.csv",
            "training curves": out / "curves.png",
            "metrics": out / "metrics.json",
            "the tagger": out / "best",
            "the garments": data / "img",
            "the report": out / "report-test.html",
        },
    )
