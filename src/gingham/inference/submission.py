"""The challenge's submission: a zip that holds only `prediction.txt`."""

import io
import zipfile
from pathlib import Path

from gingham.predictions import Predictions
from gingham.storage import write_bytes

__all__ = ["write_submission"]


def write_submission(predictions: Predictions, out: Path) -> None:
    """Write one line an image: the best class of each attribute, as 0-based integers with one space between.

    Args:
        predictions: of the test split, in its order.
        out: the zip file; the same predictions give the same bytes.

    Raises:
        MachineError: the disk is full or refuses.
    """
    text = "".join(" ".join(map(str, row)) + "\n" for row in predictions.predicted.tolist())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("prediction.txt", (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    write_bytes(out, buffer.getvalue())
