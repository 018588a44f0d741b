"""Files of predictions or tags, as batches that can be compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gingham.errors import BundleError, DataError, UserError, one_line
from gingham.evaluation.calibration import Calibration
from gingham.evaluation.decisions import Decisions
from gingham.evaluation.drift import Batch, batch_of
from gingham.inference.bulk import STATISTICS
from gingham.inference.bundle import Bundle
from gingham.predictions import Predictions
from gingham.storage import read_json

__all__ = ["BatchFile", "comparable", "read_batch"]


class BatchFile(NamedTuple):
    """A file's batch.

    Attributes:
        batch: what it says.
        model: hash of the model that it is of; empty if the file does not say.
        logits: whether it holds logits, whose confidences are raw unless a model was given.
        unreadable: photos of a table of tags that have none.
    """

    batch: Batch
    model: str
    logits: bool
    unreadable: int


def read_batch(path: Path, bundle: Bundle | None = None, decisions: Decisions | None = None) -> BatchFile:
    """Read a predictions file (`evaluate --predictions`) or a table of tags (`predict --out FILE.parquet`).

    Args:
        path: the file.
        bundle: the model, whose calibration makes confidences of logits.
        decisions: of a promise, to say which tags of logits are accepted.

    Raises:
        BundleError: it is missing or no Parquet file.
        DataError: it is neither of the two.
        SchemaError: it is of another schema than the model.
    """
    try:
        table = pq.ParquetFile(path)
        metadata = table.schema_arrow.metadata or {}
        if b"gingham" in metadata:
            predictions = Predictions.from_parquet(path)
            calibration = Calibration.identity(predictions.schema)
            if bundle is not None:
                bundle.schema.require_same(predictions.schema, f"model {bundle.path}", str(path))
                calibration = bundle.calibration.calibration
            batch = batch_of(predictions, calibration, decisions)
            return BatchFile(batch, str(predictions.source.get("model", "")), True, 0)
        return _table_of_tags(path, table.read())
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError) as failure:
        raise BundleError(f"{path}: not a readable Parquet file ({one_line(failure)})") from None


def _table_of_tags(path: Path, table: pa.Table) -> BatchFile:
    columns = set(table.column_names)
    names = [name for name in table.column_names if f"{name}_confidence" in columns]
    if not names or not {"image", "error"} <= columns:
        raise DataError(f"{path}: neither predictions (evaluate --predictions) nor a table of tags (predict --out)")
    tagged = np.array([error == "" for error in table["error"].to_pylist()], dtype=np.bool_)
    statistics = [name for name in STATISTICS if name in columns - set(names)]
    values: dict[str, Any] = {}
    for name in (one for one in table.column_names if one not in {"image", "error", *statistics}):
        cells = table[name].filter(pa.array(tagged))
        if cells.null_count:
            raise DataError(f"{path}: column '{name}' has no value for an image without an error; write it again")
        values[name] = cells.to_numpy(zero_copy_only=False)
    try:
        batch = Batch(
            count=int(tagged.sum()),
            tags={name: values[name] for name in names},
            confidence={name: values[f"{name}_confidence"].astype(np.float64) for name in names},
            accepted={name: values[f"{name}_accepted"] for name in names if f"{name}_accepted" in columns},
            columns={
                name.removeprefix("image_"): table[name].filter(pa.array(tagged)).to_numpy().astype(np.float64)
                for name in statistics
            },
        )
    except ValueError:
        raise DataError(f"{path}: confidences or image statistics are no numbers; write it again") from None
    manifest = path.with_name(f"{path.name}.manifest.json")
    said = read_json(manifest) if manifest.is_file() else {}
    model = said.get("model") if isinstance(said, dict) else None
    return BatchFile(batch, model if isinstance(model, str) else "", False, int((~tagged).sum()))


def comparable(reference: BatchFile, new: BatchFile, *, calibrated: bool) -> tuple[Batch, Batch, list[str]]:
    """The two batches with what both of them can be compared by, and what is left out of it, in words.

    Args:
        reference: one file.
        new: the other one.
        calibrated: whether confidences of logits are those of the model.

    Raises:
        UserError: they are of different models, attributes, or without any photo.
    """
    if reference.model and new.model and reference.model != new.model:
        raise UserError("the two files are of different models; tag both with the same one")
    if set(reference.batch.tags) != set(new.batch.tags):
        name = min(set(reference.batch.tags) ^ set(new.batch.tags))
        raise UserError(f"attribute '{name}' is in one of the two files only; tag both with the same model")
    if not reference.batch.count or not new.batch.count:
        raise UserError("one of the two files has no tagged photo; there is nothing to compare")
    notes = []
    batches = [reference.batch, new.batch]
    if reference.logits != new.logits and not calibrated:
        notes.append("one file holds logits and the other tags: confidences are compared with --model only")
        batches = [replace(batch, confidence={}, accepted={}) for batch in batches]
    if not reference.batch.columns.keys() & new.batch.columns.keys():
        notes.append("image statistics are not compared: evaluate --predictions and predict --statistics write them")
    return batches[0], batches[1], notes
