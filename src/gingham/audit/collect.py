"""From a label table to an audit's report."""

import numpy as np
import torch

from gingham.audit.label_errors import label_errors, pooled_features, require_cleanlab
from gingham.audit.labels import class_counts, new_combinations, unlabelled_counts
from gingham.audit.pictures import boxes_outside, duplicate_pairs, odd_images, unreadable_images
from gingham.audit.report import AttributeErrors, Report
from gingham.data.decode import MAX_PIXELS
from gingham.data.duplicates import same_pictures
from gingham.data.facts import ImageFacts
from gingham.data.survey import survey
from gingham.data.table import LabelTable
from gingham.errors import DataError
from gingham.inference.bundle import Bundle
from gingham.inference.items import printable
from gingham.progress import Reporter
from gingham.schema import UNLABELLED

__all__ = ["audit"]


def audit(
    table: LabelTable,
    *,
    bundle: Bundle | None = None,
    device: torch.device | None = None,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    reporter: Reporter | None = None,
) -> Report:
    """Look at all images and labels of a data set. Nothing of it is changed.

    Args:
        table: all splits.
        bundle: a model whose backbone looks for label errors; what it tags does not matter. None = not looked for.
        device: where its backbone runs; default: the processor.
        workers: decoding threads.
        max_pixels: larger images count as unreadable.
        reporter: shows progress.

    Raises:
        UserError: label errors are asked for and cleanlab is not installed.
        BundleError: the model is an ensemble.
        DataError: they are, and no image can be used.
        MachineError: the cache folder cannot be written.
    """
    boxed = False
    if bundle is not None:
        require_cleanlab()
        boxed = bundle.only.preprocess.region == "box"
    reporter = reporter or Reporter()
    found = survey(table.paths(), workers=workers, max_pixels=max_pixels, reporter=reporter)
    same = same_pictures(found)
    boxes = boxes_outside(table, found)
    errors: dict[str, AttributeErrors] | None = None
    if bundle is not None:
        lost = {entry.image for entry in boxes if entry.outside >= 1} if boxed else set()
        labelled = (table.targets != UNLABELLED).any(axis=1)
        rows = [
            row
            for row, entry in enumerate(found)
            if isinstance(entry, ImageFacts) and labelled[row] and table.images[row] not in lost
        ]
        if not rows:
            raise DataError(f"{table.source}: no readable image with a label, so no label to look at")
        used = table.take(rows)
        features = pooled_features(
            bundle,
            used,
            workers=workers,
            max_pixels=max_pixels,
            device=device or torch.device("cpu"),
            reporter=reporter,
        )
        errors = label_errors(used, features, np.array(same.group_of)[rows].tolist(), reporter=reporter)
    return Report(
        data=printable(table.source),
        model=None if bundle is None else printable(str(bundle.path)),
        splits={name: table.splits.count(name) for name in table.split_names},
        unreadable=unreadable_images(table, found),
        odd=odd_images(table, found),
        identical=[tuple(table.images[row] for row in group) for group in same.identical],
        pairs=duplicate_pairs(table, same),
        classes=class_counts(table),
        unlabelled=unlabelled_counts(table),
        combinations=new_combinations(table),
        boxes=boxes,
        label_errors=errors,
    )
