"""Starting a model from another one whose schema differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gingham.errors import BundleError
from gingham.schema import AttributeSchema

__all__ = ["TransferReport", "transfer"]


class Transferable(Protocol):
    """A `Network`, or a head alone."""

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors."""
        ...

    def schema_rows(self, schema: AttributeSchema) -> dict[str, tuple[str, int]]:
        """What each row that belongs to an attribute or class is about -> (tensor, row)."""
        ...


@dataclass(frozen=True)
class TransferReport:
    """What became of the target's attributes and classes.

    Attributes:
        kept: `attribute/class` of those that the source knew, in the target's order.
        fresh: `attribute/class` of those that keep their fresh initialisation.
        dropped: `attribute/class` of those that only the source has.
    """

    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]


def transfer(
    target: Transferable,
    source_state: Mapping[str, Tensor],
    *,
    source_schema: AttributeSchema,
    target_schema: AttributeSchema,
) -> TransferReport:
    """Copy weights into a freshly built network (or head), by the names of attributes and classes.

    An attribute of both schemas keeps its query, a class of both (in an attribute of one name) its row of the
    classifier; new ones keep their fresh initialisation. All else is copied as it is. Nothing is changed on an error.

    Args:
        target: what receives the weights.
        source_state: the state dict of a network (or head) of the same shape in all but the schema.
        source_schema: its schema.
        target_schema: the schema that `target` was built for.

    Raises:
        BundleError: the two differ in more than the schema; the message names the first tensor.
    """
    state = target.state_dict()
    rows, source_rows = target.schema_rows(target_schema), target.schema_rows(source_schema)
    by_row, source_by_row = {name for name, _ in rows.values()}, {name for name, _ in source_rows.values()}
    shared = [name for name in state if name not in by_row]
    unshared = sorted({*shared} ^ {name for name in source_state if name not in source_by_row})
    if unshared or not source_by_row <= set(source_state):
        first = unshared[0] if unshared else min(source_by_row - set(source_state))
        where = "the other model" if first in source_state else "this one"
        raise BundleError(f"weights cannot be carried over: only {where} has '{first}'; use the same `model:` options")
    pairs = [(state[name], source_state[name], name) for name in shared]
    pairs += [
        (state[name][row], source_state[source_rows[what][0]][source_rows[what][1]], name)
        for what, (name, row) in rows.items()
        if what in source_rows
    ]
    for mine, theirs, name in pairs:
        if mine.shape != theirs.shape:
            raise BundleError(
                f"weights cannot be carried over: '{name}' has shape {tuple(theirs.shape)} in the other model and "
                f"{tuple(mine.shape)} here; use the same `model:` options and image size"
            )
    with torch.no_grad():
        for mine, theirs, _ in pairs:
            mine.copy_(theirs)
    columns, source_columns = target_schema.columns, source_schema.columns
    return TransferReport(
        kept=tuple(column for column in columns if column in source_columns),
        fresh=tuple(column for column in columns if column not in source_columns),
        dropped=tuple(column for column in source_columns if column not in columns),
    )
