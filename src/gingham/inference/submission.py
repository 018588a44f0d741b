"""The challenge's submission: a zip that holds only `prediction.txt`."""

import io
import zipfile
from pathlib import Path

import numpy as np

from gingham.errors import SchemaError
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from gingham.storage import write_bytes

__all__ = ["write_submission"]


def write_submission(predictions: Predictions, schema: AttributeSchema, out: Path) -> None:
    """Write one line an image: the best class of each attribute, as 0-based integers with one space between.

    Args:
        predictions: of the test split, in its order.
        schema: of the test split: what its integers mean. The model's attributes and classes may have another order.
        out: the zip file; the same predictions give the same bytes.

    Raises:
        SchemaError: the model lacks an attribute of the schema, or knows a class that the schema has not.
        MachineError: the disk is full or refuses.
    """
    columns = []
    for attribute in schema.attributes:
        own = predictions.schema[attribute.name]
        if unknown := sorted(set(own.classes) - set(attribute.classes)):
            raise SchemaError(f"attribute '{attribute.name}': the test split has no number for {', '.join(unknown)}")
        numbers = np.array([attribute.index[label] for label in own.classes])
        columns.append(numbers[predictions.predicted[:, predictions.schema.names.index(attribute.name)]])
    text = "".join(" ".join(map(str, row)) + "\n" for row in np.stack(columns, axis=1).tolist())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("prediction.txt", (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    write_bytes(out, buffer.getvalue())
