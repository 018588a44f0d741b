"""The recipe `best`: the report's, with a few changes."""

from pathlib import Path

import pytest

from gingham.training.recipe import load_recipe
from gingham.training.run import train


def test_what_differs_from_the_report() -> None:
    """No more than docs/study.md has a measured row for."""
    report, best = load_recipe("report"), load_recipe("best")
    found = {"test_time": {"flip": True}}
    changed = {
        block: {
            field: value for field, value in getattr(best, block) if value != getattr(getattr(report, block), field)
        }
        for block in type(report).model_fields
        if block != "members" and getattr(best, block) != getattr(report, block)
    }
    assert changed == found


@pytest.mark.long
def test_it_takes_a_step(photos: Path, tmp_path: Path) -> None:
    """With random weights, on a processor."""
    changes = ["model.weights=none", "train.max_steps=1", "train.batch_size=2", "train.workers=1"]
    metrics = train(photos, load_recipe("best", changes), tmp_path / "run", device="cpu")
    assert metrics.n > 0
    assert (tmp_path / "run" / "best" / "model.safetensors").stat().st_size > 4 * 217_000_000
