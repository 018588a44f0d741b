import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gingham.errors import BundleError, MachineError, SchemaError
from gingham.predictions import Predictions, log_mean_probability, softmax
from gingham.schema import AttributeSchema

SCHEMA = AttributeSchema.of({"colour": ["red", "blue"], "sleeve": ["long", "short", "none"]})


def build(**changes: Any) -> Predictions:
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "ids": ("a.jpg", "b/ü.jpg", "c.jpg"),
        "logits": np.array([[1, 2, 0, 0, 0], [-1, -2, 3, 4, 4], [0, 0, 1e3, -1e3, 0]], dtype=np.float32),
        "targets": np.array([[0, 2], [1, -1], [-1, 0]]),
        "columns": {"width": np.array([5, 6, 7]), "brightness": np.array([0.5, np.nan, 1.0])},
        "source": {"model": "abc", "split": "val"},
    }
    return Predictions(**{**values, **changes})


def test_probabilities_are_one_softmax_an_attribute() -> None:
    probabilities = build().probabilities
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities[:, :2].sum(axis=1), 1)
    np.testing.assert_allclose(probabilities[:, 2:].sum(axis=1), 1)
    np.testing.assert_allclose(probabilities[0], [1 / (1 + np.e), np.e / (1 + np.e), 1 / 3, 1 / 3, 1 / 3])
    assert probabilities[2, 2] == 1.0


@given(arrays.arrays(np.float32, (4, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_softmax_of_any_finite_logits_is_finite(logits: np.ndarray) -> None:
    probabilities = softmax(logits, SCHEMA)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities[:, :2].sum(axis=1), 1)


LOGITS = st.floats(-(2.0**99), 2.0**99, width=32)


def test_a_mean_of_probabilities_by_hand() -> None:
    """Odds of 3:1 and 1:1 for the colours; 2:1:1 and 1:2:1 for the sleeves."""
    first = np.log(np.array([[3, 1, 2, 1, 1]], dtype=np.float32))
    second = np.log(np.array([[7, 7, 5, 10, 5]], dtype=np.float32))
    mean = log_mean_probability([first, second], SCHEMA)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(np.exp(mean), [[0.625, 0.375, 0.375, 0.375, 0.25]], rtol=1e-6)


@given(arrays.arrays(np.float32, (3, 4, 5), elements=st.floats(-50, 50, width=32)))
def test_the_softmax_of_a_mean_is_the_mean_of_the_softmaxes(logits: np.ndarray) -> None:
    mean = log_mean_probability(list(logits), SCHEMA)
    expected = np.mean([softmax(one, SCHEMA) for one in logits], axis=0)
    np.testing.assert_allclose(softmax(mean, SCHEMA), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(mean.astype(np.float64)), expected, rtol=1e-5)


@given(arrays.arrays(np.float32, (2, 4, 5), elements=LOGITS))
def test_a_mean_of_any_logits_is_finite_and_knows_no_order(logits: np.ndarray) -> None:
    mean = log_mean_probability(list(logits), SCHEMA)
    assert np.isfinite(mean).all()
    assert (mean <= 0).all()
    np.testing.assert_array_equal(mean, log_mean_probability(list(logits[::-1]), SCHEMA))


@given(arrays.arrays(np.float32, (4, 5), elements=LOGITS), st.integers(1, 4))
def test_the_mean_of_equals_is_each_of_them(logits: np.ndarray, count: int) -> None:
    mean = log_mean_probability([logits] * count, SCHEMA)
    np.testing.assert_allclose(softmax(mean, SCHEMA), softmax(logits, SCHEMA), atol=1e-6)


@given(arrays.arrays(np.float32, (2, 1, 5), elements=st.floats(-50, 50, width=32)), st.floats(-80, 80))
def test_a_constant_within_an_attribute_changes_no_mean(logits: np.ndarray, shift: float) -> None:
    moved = logits.astype(np.float64)
    moved[0, :, 2:] += shift
    np.testing.assert_allclose(
        log_mean_probability(list(moved), SCHEMA), log_mean_probability(list(logits), SCHEMA), rtol=1e-5, atol=1e-6
    )


def test_means_are_the_same_bits_alone_and_among_others() -> None:
    schema = AttributeSchema.of({"a": [str(n) for n in range(300)], "b": ["x", "y"], "c": [str(n) for n in range(9)]})
    logits = np.random.default_rng(0).normal(size=(3, 40, schema.total)).astype(np.float32) * 5
    together = log_mean_probability(list(logits), schema)
    assert all(
        (log_mean_probability(list(logits[:, row : row + 1]), schema) == together[row]).all() for row in range(40)
    )


def test_a_mean_of_nothing_or_of_different_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="need at least one array"):
        log_mean_probability([], SCHEMA)
    with pytest.raises(ValueError, match="same shape"):
        log_mean_probability([np.zeros((1, 5)), np.zeros((2, 5))], SCHEMA)


def test_predicted_is_the_first_of_the_best() -> None:
    assert build().predicted.tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": np.zeros((3, 4), dtype=np.float32)}, r"logits have shape \(3, 4\), expected \(3, 5\)"),
        ({"logits": np.zeros((2, 5), dtype=np.float32)}, r"logits have shape \(2, 5\), expected \(3, 5\)"),
        ({"targets": np.zeros((3, 3), dtype=np.int64)}, r"targets have shape \(3, 3\), expected \(3, 2\)"),
        ({"targets": np.array([[0, 3], [0, 0], [0, 0]])}, "out of its attribute's range"),
        ({"targets": np.array([[-2, 0], [0, 0], [0, 0]])}, "out of its attribute's range"),
        ({"columns": {"width": np.array([1])}}, "column 'width' has 1 values for 3 images"),
    ],
)
def test_inconsistent_arrays_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        build(**changes)


@pytest.mark.parametrize("changes", [{}, {"targets": None}, {"columns": {}, "source": {}}])
def test_round_trip_through_parquet(tmp_path: Path, changes: dict[str, Any]) -> None:
    written = build(**changes)
    written.to_parquet(tmp_path / "p.parquet")
    read = Predictions.from_parquet(tmp_path / "p.parquet")
    assert read.schema == written.schema
    assert read.ids == written.ids
    assert read.logits.dtype == np.float32
    np.testing.assert_array_equal(read.logits, written.logits)
    if written.targets is None:
        assert read.targets is None
    else:
        assert read.targets is not None
        assert read.targets.dtype == np.int64
        np.testing.assert_array_equal(read.targets, written.targets)
    assert set(read.columns) == set(written.columns)
    for name, values in written.columns.items():
        np.testing.assert_array_equal(read.columns[name], values)
    assert read.source == written.source


def test_text_columns_survive(tmp_path: Path) -> None:
    build(columns={"camera": np.array(["x", "", "ü"])}).to_parquet(tmp_path / "p.parquet")
    assert Predictions.from_parquet(tmp_path / "p.parquet").columns["camera"].tolist() == ["x", "", "ü"]


def test_no_images_at_all(tmp_path: Path) -> None:
    empty = Predictions(SCHEMA, (), np.zeros((0, 5), dtype=np.float32))
    empty.to_parquet(tmp_path / "p.parquet")
    read = Predictions.from_parquet(tmp_path / "p.parquet")
    assert len(read) == 0
    assert read.logits.shape == (0, 5)
    assert read.predicted.shape == (0, 2)


def test_an_attribute_may_be_called_as_it_likes(tmp_path: Path) -> None:
    schema = AttributeSchema.of({"a:b": ["x:y", "z"], "target:c": ["1", "2"]})
    written = Predictions(schema, ("i",), np.ones((1, 4), dtype=np.float32), np.array([[0, 1]]))
    written.to_parquet(tmp_path / "p.parquet")
    np.testing.assert_array_equal(Predictions.from_parquet(tmp_path / "p.parquet").targets, [[0, 1]])


def rewritten(path: Path, **changes: Any) -> None:
    table = pq.read_table(path)
    header = {**json.loads(table.schema.metadata[b"gingham"]), **changes}
    pq.write_table(table.replace_schema_metadata({"gingham": json.dumps(header)}), path)


def test_files_of_a_later_version_are_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    build().to_parquet(path)
    rewritten(path, format=2)
    with pytest.raises(BundleError, match=r"written by a later Gingham \(format 2\); upgrade Gingham"):
        Predictions.from_parquet(path)


def test_files_that_are_no_predictions(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(BundleError, match=r"p\.parquet: no such file"):
        Predictions.from_parquet(path)
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(BundleError, match="not a readable Parquet file"):
        Predictions.from_parquet(path)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(BundleError, match="not a predictions file of Gingham"):
        Predictions.from_parquet(path)
    build().to_parquet(path)
    rewritten(path, schema={"colour": ["red", "green"]})
    with pytest.raises(BundleError, match="not a predictions file of Gingham"):
        Predictions.from_parquet(path)
    build().to_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match="not a readable Parquet file"):
        Predictions.from_parquet(path)


@pytest.mark.parametrize("missing", ["id", "target:sleeve", "logit:colour/red"])
def test_missing_columns(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "p.parquet"
    build().to_parquet(path)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([missing]), path)
    with pytest.raises(BundleError, match="not a predictions file of Gingham"):
        Predictions.from_parquet(path)


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(MachineError, match="the disk is full"):
        build().to_parquet(tmp_path / "p.parquet")
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_occurs_twice_is_refused() -> None:
    schema = AttributeSchema.of({"fit": ["tight", "loose"]})
    with pytest.raises(SchemaError, match=r"'p\.jpg' occurs twice"):
        Predictions(schema, ("p.jpg", "q.jpg", "p.jpg"), np.zeros((3, 2), dtype=np.float32))
