"""A calibrated bundle out of a bundle and predictions of labelled photos; the networks stay what they are."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from gingham.errors import UserError
from gingham.evaluation.calibrated import Calibrated
from gingham.evaluation.metrics import evaluate
from gingham.inference.bundle import Bundle, describe
from gingham.inference.calibration import to_plain
from gingham.inference.card import calibrated_card, read_card
from gingham.inference.member import files_of
from gingham.inference.save import Export, write_descriptions
from gingham.predictions import Predictions
from gingham.storage import atomic_directory, write_manifest

__all__ = ["check_predictions", "check_unseen", "write_calibrated"]

OUT_OF_FOLD = "out of fold"
"""What `source["split"]` says of predictions of each photo by a model of another fold."""


def check_unseen(bundle: Bundle, data: str, split: str) -> list[str]:
    """Check, as far as the bundle tells, that it was not trained on photos that are to calibrate it.

    A model is surer of photos that it has seen, and more often right: a calibration on them would promise too much.

    Args:
        bundle: the model.
        data: where the photos are from.
        split: which split of them.

    Returns:
        What is assumed, for the user to read; none if nothing is.

    Raises:
        UserError: it was trained on them; says which photos to take.
    """
    trained = bundle.trained.get("data")
    places = [str(place) for place in (trained if isinstance(trained, list) else [trained]) if place]
    if places and not any(_same(place, data) for place in places):
        return [f"the model was trained on {', '.join(places)}: that none of these photos is among them is assumed"]
    if split == "train":
        raise UserError(
            f"--split train: {bundle.path} was trained on these photos, and would promise too much; take val or test"
        )
    if bundle.trained.get("folds") and split != "test":
        raise UserError(
            f"--split {split}: {bundle.path} joins the models of all folds, which know these photos; take --split "
            "test, or --predictions with its predictions-oof.parquet"
        )
    if not places:
        return [f"the model does not say what it was trained on: that it was not on {data} ({split}) is assumed"]
    epoch, epochs = bundle.trained.get("epoch"), bundle.trained.get("epochs")
    if split == "val" and epoch != epochs:
        return [f"epoch {epoch} of {epochs} was chosen on these photos, which flatters a little; test photos would not"]
    return []


def check_predictions(bundle: Bundle, predictions: Predictions, file: Path) -> list[str]:
    """Check that saved predictions are those of the model.

    Those of the bundle itself are known by its hash; out-of-fold predictions of a run with folds by its metrics.

    Returns:
        What is assumed, for the user to read.

    Raises:
        SchemaError: they have another schema.
        UserError: they are of another model, or of photos that it was trained on.
    """
    bundle.schema.require_same(predictions.schema, f"model {bundle.path}", str(file))
    source = predictions.source
    if source.get("model") == bundle.hash:
        return check_unseen(bundle, str(source.get("data", "")), str(source.get("split", "")))
    if source.get("split") == OUT_OF_FOLD and bundle.trained.get("folds"):
        metrics = bundle.trained.get("metrics")
        known = metrics.get("mean_class_accuracy") if isinstance(metrics, Mapping) else None
        if known is not None and known == evaluate(predictions, bootstrap=0).mean_class_accuracy:
            return [
                "each photo was predicted by the models of the other folds; that all folds' models together are as "
                "sure, and right as often, is assumed (they are mostly right a little more often)"
            ]
    raise UserError(
        f"{file}: predictions of another model than {bundle.path}; write them with gingham evaluate {bundle.path} "
        "--data DIR --split SPLIT --predictions FILE.parquet, or give the predictions-oof.parquet of its own run"
    )


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def write_calibrated(bundle: Bundle, found: Calibrated, out: Path, *, facts: Mapping[str, str]) -> Bundle:
    """Write the same networks with a calibration to a new bundle, whole or not at all.

    Args:
        bundle: the model; a calibration that it has already is not taken over.
        found: the calibration.
        out: the folder to make; it must not exist.
        facts: in words: the data, the split, what is assumed.

    Returns:
        The new bundle.

    Raises:
        UserError: `out` exists.
        BundleError: weights are damaged.
        MachineError: the disk is full or refuses.
    """
    if out.exists():
        raise UserError(f"--out {out}: exists; choose another folder")
    bundle.check_weights()
    told = {**facts, "photos": _photos(found)}
    with atomic_directory(out) as folder:
        write_descriptions(
            folder,
            bundle.members,
            schema=bundle.schema,
            data=bundle.data,
            trained=bundle.trained,
            card=calibrated_card(read_card(bundle), found, told),
            calibration=to_plain(found, told),
            export=Export(bundle.runtime, bundle.precision, bundle.exported, True) if bundle.exported else None,
        )
        for member in bundle.members:
            for name in files_of(member.weights, bundle.runtime):
                shutil.copyfile(bundle.path / name, folder / name)
        write_manifest(folder)
    return describe(out)


def _photos(found: Calibrated) -> str:
    if not found.tested:
        return f"{found.fitted} fitted the calibration; its scores are cross-fitted"
    return (
        f"{found.fitted} fitted the calibration, {found.tested} others tested promises, made sets and gave the scores"
    )
