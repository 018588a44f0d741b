"""From predictions to a report on disk, in one call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.evaluation.decisions import Decisions
from gingham.evaluation.metrics import Metrics
from gingham.predictions import Predictions
from gingham.report.content import collect
from gingham.report.gallery import choose
from gingham.report.page import Photos, render_page
from gingham.storage import write_text

__all__ = ["write_report"]


def write_report(
    predictions: Predictions,
    out: Path,
    *,
    title: str,
    photos: Photos | None = None,
    metrics: Metrics | None = None,
    history: Mapping[str, Sequence[float | None]] | None = None,
    calibrated: npt.NDArray[np.float64] | None = None,
    other: Predictions | None = None,
    compared_with: str = "",
    decisions: Sequence[Decisions] = (),
    explain: Callable[[Sequence[str]], Mapping[str, npt.NDArray[np.float32]]] | None = None,
) -> None:
    """Write `report.html`: one file that opens from disk. Equal arguments and photos give equal bytes.

    Args:
        predictions: of one split, labelled or not.
        out: the file to write.
        title: what the report is about.
        photos: where the photos are; None = they are not at hand.
        metrics: of these predictions, if they are known already.
        history: columns of a training's history, as `plot_curves` takes them.
        calibrated: calibrated probabilities `[N, ΣC]`: reliability is shown before and after, confidence is theirs.
        other: predictions of another system for the same images, to compare with.
        compared_with: what that one is called.
        decisions: thresholds on `calibrated`: what they promise, and what they accept here.
        explain: gives the attention of some photos, id -> float32 `[K, h, w]`; asked once, for those that are shown.

    Raises:
        DataError: there is no image, logits are NaN, or `other` cannot be compared.
        SchemaError: `calibrated` has another shape, or `other` another schema.
        MachineError: the disk is full or refuses.
    """
    content = collect(
        predictions,
        title=title,
        metrics=metrics,
        history=history,
        calibrated=calibrated,
        other=other,
        compared_with=compared_with,
        decisions=decisions,
    )
    gallery = choose(predictions, calibrated=calibrated)
    photos = photos or Photos()
    if explain is not None:
        shown = list(dict.fromkeys(entry.id for entry in gallery.all if entry.id in photos.paths))
        photos = replace(photos, attention=explain(shown))
    write_text(out, render_page(content, gallery, photos))
