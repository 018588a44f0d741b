"""Cross-validation: training and validation images dealt anew into folds, one of which is validation."""

from gingham.data.duplicates import same_pictures
from gingham.data.options import DataOptions, refuse_unused
from gingham.data.split import stratified_folds
from gingham.data.survey import survey
from gingham.data.table import LabelTable
from gingham.errors import DataError
from gingham.progress import Reporter

__all__ = ["dealt"]


def dealt(table: LabelTable, options: DataOptions, reporter: Reporter) -> LabelTable:
    """The table with fold `options.fold` of `options.folds` as its split `val`, the others as `train`.

    The images of `train` and `val` are dealt, those of `test` stay. Images of the same picture, identical or near
    duplicates of each other (see `duplicates`), are in one fold, and every fold has its share of every class: a
    function of the images' names, pictures and labels and of `options.split_seed`.

    Args:
        table: all splits.
        options: how many folds, and which one is validation.
        reporter: hears of the pass over the images, of which nothing is decoded twice.

    Raises:
        DataError: the images or those of a class are too few.
        RecipeError: an option would have no effect.
        MachineError: the cache folder cannot be written.
    """
    if options.folds is None:
        refuse_unused(options, ("fold",), "data.folds is null, so there are no folds (set data.fold=0)")
        return table
    rows = [row for row, split in enumerate(table.splits) if split != "test"]
    part = table.take(rows)
    found = survey(part.paths(), max_pixels=options.max_pixels, reporter=reporter)
    groups: dict[int, list[str]] = {}
    group_of = same_pictures(found).group_of
    for name, group in zip(part.images, group_of, strict=True):
        groups.setdefault(group, []).append(name)
    names = {group: min(members) for group, members in groups.items()}
    try:
        folds = stratified_folds(
            part.targets, part.schema, [names[group] for group in group_of], options.folds, options.split_seed
        )
    except DataError as failure:
        raise DataError(f"{table.source}: {failure}") from None
    splits = list(table.splits)
    for row, fold in zip(rows, folds.tolist(), strict=True):
        splits[row] = "val" if fold == options.fold else "train"
    return table.with_splits(splits)
