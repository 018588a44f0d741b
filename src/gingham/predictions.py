"""Predictions: everything that evaluation, plots and reports need, without the model."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gingham.documents import parse_json
from gingham.errors import BundleError, SchemaError, one_line
from gingham.schema import AttributeSchema
from gingham.storage import atomic_file

__all__ = ["Predictions", "log_mean_probability", "softmax"]

_FORMAT = 1


def softmax(logits: npt.NDArray[np.floating[Any]], schema: AttributeSchema) -> npt.NDArray[np.float64]:
    """Probabilities `[N, ΣC]` of flat logits: one softmax per attribute, in float64."""
    probabilities = np.empty(logits.shape, dtype=np.float64)
    for part in schema.slices:
        shifted = logits[:, part].astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        np.exp(shifted, out=shifted)
        probabilities[:, part] = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def log_mean_probability(
    logits: Sequence[npt.NDArray[np.floating[Any]]], schema: AttributeSchema
) -> npt.NDArray[np.float32]:
    """Logits of the mean of several predictions' probabilities: `log(1/M Σ_m softmax(z_m))`, attribute by attribute.

    Views of an image, and members of an ensemble, are averaged with it. Their softmax is the mean of the softmaxes,
    and that of a single one its own; in float64 inside and without overflow, however large the logits are.

    Args:
        logits: M arrays `[N, ΣC]`, at least one, finite.
        schema: what the columns mean.

    Returns:
        `[N, ΣC]`, at most 0 and finite: a class that all members rule out gets the least float32.

    Raises:
        ValueError: there is none, or their shapes differ.
    """
    stacked = np.stack(logits).astype(np.float64)
    for part in schema.slices:
        # A view: `stacked` becomes the log-probabilities of each member.
        own = stacked[:, :, part]
        own -= own.max(axis=2, keepdims=True)
        own -= np.log(np.exp(own).sum(axis=2, keepdims=True))
    highest = stacked.max(axis=0)
    mean = highest + np.log(np.exp(stacked - highest).mean(axis=0))
    # A mean of ones may round to a hair more than 1.
    averaged: npt.NDArray[np.float32] = np.clip(mean, np.finfo(np.float32).min, 0).astype(np.float32)
    return averaged


@dataclass(frozen=True)
class Predictions:
    """Raw logits of N images, with targets where they are known.

    Attributes:
        schema: what the columns mean.
        ids: N unique names, usually paths relative to the data folder.
        logits: float32 `[N, ΣC]`, before any calibration.
        targets: int64 `[N, K]`, -1 = not labelled; or None.
        columns: further values per image, each `[N]` (width, height, box area, brightness ...).
        source: free text values: the model's hash, the options, the split.

    Raises:
        SchemaError: an array's shape does not fit the schema, or an id occurs twice.
    """

    schema: AttributeSchema
    ids: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[np.int64] | None = None
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.ids)
        if len(set(self.ids)) != count:
            twice = next(name for name, times in Counter(self.ids).items() if times > 1)
            raise SchemaError(f"image '{twice}' occurs twice among the predictions; each needs a name of its own")
        if self.logits.shape != (count, self.schema.total):
            raise SchemaError(f"logits have shape {self.logits.shape}, expected {(count, self.schema.total)}")
        if self.targets is not None:
            if self.targets.shape != (count, len(self.schema)):
                raise SchemaError(f"targets have shape {self.targets.shape}, expected {(count, len(self.schema))}")
            sizes = np.array(self.schema.sizes)
            if ((self.targets < -1) | (self.targets >= sizes)).any():
                raise SchemaError("a target is out of its attribute's range")
        for name, values in self.columns.items():
            if len(values) != count:
                raise SchemaError(f"column '{name}' has {len(values)} values for {count} images")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """`[N, ΣC]`, one softmax per attribute."""
        return softmax(self.logits, self.schema)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The best class of each attribute, `[N, K]`; the first one where logits are equal."""
        return np.stack([self.logits[:, part].argmax(axis=1) for part in self.schema.slices], axis=1)

    def to_parquet(self, path: Path) -> None:
        """Write one row an image: `id`, `logit:attribute/class`, `target:attribute`, and the further columns.

        Raises:
            MachineError: the disk is full or not writable; nothing is left behind.
        """
        arrays: dict[str, Any] = {"id": list(self.ids)}
        for position, name in enumerate(self.schema.columns):
            arrays[f"logit:{name}"] = np.ascontiguousarray(self.logits[:, position])
        if self.targets is not None:
            for position, name in enumerate(self.schema.names):
                arrays[f"target:{name}"] = np.ascontiguousarray(self.targets[:, position])
        arrays.update({f"column:{name}": values for name, values in self.columns.items()})
        header = {"format": _FORMAT, "schema": self.schema.to_plain(), "source": dict(self.source)}
        table = pa.table(arrays).replace_schema_metadata({"gingham": json.dumps(header, ensure_ascii=False)})
        with atomic_file(path) as stream:
            pq.write_table(table, stream, compression="zstd")

    @classmethod
    def from_parquet(cls, path: Path) -> "Predictions":
        """Read what `to_parquet` wrote.

        Raises:
            BundleError: missing file, not Parquet, not written by Gingham, or columns missing.
        """
        try:
            table = pq.read_table(path)
        except FileNotFoundError:
            raise BundleError(f"{path}: no such file") from None
        except (pa.ArrowInvalid, OSError) as failure:
            raise BundleError(f"{path}: not a readable Parquet file ({one_line(failure)})") from None
        metadata = table.schema.metadata or {}
        try:
            header = parse_json(metadata[b"gingham"])
            schema = AttributeSchema.from_plain(header["schema"], source=str(path))
            if header["format"] > _FORMAT:
                raise BundleError(f"{path}: written by a later Gingham (format {header['format']}); upgrade Gingham")
            logits = np.stack([table[f"logit:{name}"].to_numpy() for name in schema.columns], axis=1)
            ids, source = tuple(table["id"].to_pylist()), dict(header["source"])
            targets = None
            if f"target:{schema.names[0]}" in table.column_names:
                targets = np.stack([table[f"target:{name}"].to_numpy() for name in schema.names], axis=1)
        except (KeyError, ValueError, TypeError):
            raise BundleError(f"{path}: not a predictions file of Gingham (write one with --predictions)") from None
        prefix = "column:"
        columns = {
            name.removeprefix(prefix): table[name].to_numpy() for name in table.column_names if name.startswith(prefix)
        }
        return cls(schema, ids, logits, targets, columns, source)
