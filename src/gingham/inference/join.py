"""Several taggers become one: a bundle of all their networks, whose probabilities are averaged."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gingham.data.options import DataOptions
from gingham.errors import UserError
from gingham.evaluation.metrics import Metrics
from gingham.inference.bundle import MOST_MEMBERS, Bundle, describe, open_bundle
from gingham.inference.card import model_card
from gingham.inference.items import printable
from gingham.inference.member import Member, weights_names
from gingham.inference.save import write_descriptions
from gingham.storage import atomic_directory, sha256_file, write_manifest

__all__ = ["join_bundles"]


class _Source(NamedTuple):
    """A network that is taken over: what it is, called by the model that has it, and its weights."""

    member: Member
    weights: Path


def join_bundles(
    paths: Sequence[Path],
    out: Path,
    *,
    name: str | None = None,
    data: DataOptions | None = None,
    trained: Mapping[str, Any] | None = None,
    metrics: Metrics | None = None,
) -> Bundle:
    """Write one bundle with the networks of several, whole or not at all; an older one at `out` is replaced.

    Each network keeps its backbone, preprocessing and test-time views. All networks count alike: a model that is an
    ensemble itself brings its members, and each has as much say as a model of one. Weights are copied as they are.
    Calibrations are left out, since what is averaged has others: an ensemble is calibrated as a whole.

    Args:
        paths: bundles or runs, at least one.
        out: the folder to make.
        name: title of the model card; default: the folder's name.
        data: how labels are read to measure it; default: as the models say, which must agree.
        trained: facts about the training; default: those of the models, as a list where they differ.
        metrics: on photos that none of them was trained on, for the card.

    Returns:
        The new bundle.

    Raises:
        BundleError: a model is missing, damaged or exported, or its weights do not fit.
        SchemaError: two tag different attributes or classes, or have them in another order; both are named.
        UserError: a network comes twice, they read labels differently, or there are too many.
        MachineError: the disk is full or refuses.
    """
    bundles = [open_bundle(path) for path in paths]
    for path, bundle in zip(paths, bundles, strict=True):
        bundles[0].schema.require_same(bundle.schema, str(paths[0]), str(path))
        bundle.require_weights()
        bundle.check_weights()
    data = data or _same_data(paths, bundles)
    sources = [
        _Source(member.model_copy(update={"name": member.name or printable(str(path))}), bundle.path / member.weights)
        for path, bundle in zip(paths, bundles, strict=True)
        for member in bundle.members
    ]
    _check_sources(sources)
    files = weights_names(len(sources))
    members = [source.member.model_copy(update={"weights": file}) for source, file in zip(sources, files, strict=True)]
    facts = trained if trained is not None else _merged_facts(bundles)
    schema = bundles[0].schema
    with atomic_directory(out) as folder:
        write_descriptions(
            folder,
            members,
            schema=schema,
            data=data,
            trained={**facts, "metrics": None if metrics is None else metrics.to_json()},
            card=model_card(
                name=printable(name or out.name), schema=schema, members=members, trained=facts, metrics=metrics
            ),
        )
        for source, file in zip(sources, files, strict=True):
            shutil.copyfile(source.weights, folder / file)
        write_manifest(folder)
    return describe(out)


def _same_data(paths: Sequence[Path], bundles: Sequence[Bundle]) -> DataOptions:
    """How all of them read labels.

    Raises:
        UserError: they differ; names the field.
    """
    each = [bundle.data for bundle in bundles]
    if len({data.fold for data in each}) > 1:
        # Models of several folds: together they know all of them.
        each = [data.undealt for data in each]
    mine = each[0]
    for path, data in zip(paths, each, strict=True):
        for field in DataOptions.model_fields:
            values = getattr(mine, field), getattr(data, field)
            if values[0] != values[1]:
                raise UserError(
                    f"{paths[0]} and {path} read labels differently: data.{field} is {values[0]!r} and {values[1]!r}; "
                    "train them with the same data block"
                )
    return mine


def _check_sources(sources: Sequence[_Source]) -> None:
    if len(sources) > MOST_MEMBERS:
        raise UserError(f"{len(sources)} networks: an ensemble has at most {MOST_MEMBERS}; leave some out")
    seen: dict[tuple[str, Member], str] = {}
    for member, weights in sources:
        what = sha256_file(weights), member.model_copy(update={"name": "", "weights": ""})
        if what in seen:
            raise UserError(f"{member.name}: the same network as {seen[what]}, which would count twice; leave one out")
        seen[what] = member.name


def _merged_facts(bundles: Sequence[Bundle]) -> dict[str, Any]:
    """What the models say of their training, but for what they measured: one value, or where they differ a list."""
    names = dict.fromkeys(name for bundle in bundles for name in bundle.trained if name != "metrics")
    values = {name: [bundle.trained.get(name) for bundle in bundles] for name in names}
    return {name: each[0] if all(value == each[0] for value in each) else each for name, each in values.items()}
