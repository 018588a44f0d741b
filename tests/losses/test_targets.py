import pytest
import torch

from gingham.errors import SchemaError
from gingham.losses import smooth, soft_targets
from tests.losses.batches import F64, SCHEMA


def test_smoothing_by_hand() -> None:
    soft, _ = soft_targets(torch.tensor([[0, 1, -1]]), SCHEMA, dtype=F64)
    expected = [0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3, 0.05, 0.95, 0, 0, 0, 0]
    assert smooth(soft, 0.1, SCHEMA)[0].tolist() == pytest.approx(expected, abs=1e-15)
    assert smooth(soft, 0.0, SCHEMA) is soft


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([[0, 2, 0]], "attribute 'sleeve': target 2 is not in -1..1"),
        ([[0, 0, 0], [-2, 0, 0]], "attribute 'pattern': target -2 is not in -1..2"),
        ([[0, 0]], r"shape \(1, 2\), expected \[B, 3\]"),
    ],
)
def test_wrong_targets_are_refused(targets: list[list[int]], expected: str) -> None:
    with pytest.raises(SchemaError, match=expected):
        soft_targets(torch.tensor(targets), SCHEMA)
