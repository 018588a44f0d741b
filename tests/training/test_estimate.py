import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.training import estimate
from gingham.training.estimate import estimate_seconds, warn_if_slow
from gingham.training.recipe import Recipe, load_recipe
from tests.ears import Ears


def test_training_costs_three_forward_passes() -> None:
    assert estimate_seconds(70e9, 4000, trained=False, rate=350e9) == pytest.approx(800)
    assert estimate_seconds(70e9, 4000, trained=True, rate=350e9) == pytest.approx(2400)


def test_the_report_without_a_gpu_is_told_its_time_and_the_laptop_recipe(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 images, 20 epochs, 12 to validate: 70.14 GFLOP x (3 x 480 + 240), at 100 GFLOP/s, is 20 minutes."""
    monkeypatch.setattr(estimate, "matmul_rate", lambda arithmetic: 100e9)
    ears = Ears()
    warn_if_slow(load_recipe("report"), photos, "cpu", ears)
    assert len(ears.lines) == 1
    assert "--recipe laptop" in ears.lines[0]
    assert re.search(r"70 GFLOP an image at 100 GFLOP/s make at least 20 minutes", ears.lines[0])


def test_steps_limit_the_estimate(photos: Path, tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "matmul_rate", lambda arithmetic: 1e9)
    spans = []
    for change in ("train.max_steps=1", "train.epochs=200"):
        ears = Ears()
        warn_if_slow(tiny(change), photos, "cpu", ears)
        spans.append(ears.lines[0])
    assert "seconds" in spans[0]
    assert "seconds" not in spans[1]


def test_a_cached_recipe_needs_a_warning_only_where_it_takes_long(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []
    for rate in (100e9, 1e6):
        monkeypatch.setattr(estimate, "matmul_rate", lambda arithmetic, rate=rate: rate)
        ears = Ears()
        warn_if_slow(load_recipe("laptop"), photos, "cpu", ears)
        lines.append(ears.lines)
    assert lines[0] == []
    assert len(lines[1]) == 1
    assert "--recipe" not in lines[1][0], "it is one of those already"


def test_the_rate_of_matrix_products_is_a_rate() -> None:
    assert 1e8 < estimate.matmul_rate(size=128, repeats=1) < 1e15
