from pathlib import Path

import pytest

from gingham.errors import BundleError
from gingham.training.outcome import history_of, predictions_of
from tests.evaluation.samples import predictions_of as made


def test_out_of_fold_predictions_are_preferred(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="name a finished run"):
        predictions_of(tmp_path)
    made([[0, 0]], [[0, 0]], ids=["val"]).to_parquet(tmp_path / "predictions-val.parquet")
    assert predictions_of(tmp_path).ids == ("val",)
    made([[0, 0]], [[0, 0]], ids=["oof"]).to_parquet(tmp_path / "predictions-oof.parquet")
    assert predictions_of(tmp_path).ids == ("oof",)
    assert history_of(tmp_path) is None
