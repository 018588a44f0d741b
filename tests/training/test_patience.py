"""Ending early."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.errors import RecipeError, UserError
from gingham.training.checkpoint import TrainingState
from gingham.training.checks import check_composition
from gingham.training.history import Epoch, epochs_without_better
from gingham.training.loop import Fit
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import resume, train
from tests.ears import Ears

Tiny = Callable[..., Recipe]


def _history(rates: list[float | None]) -> list[Epoch]:
    return [Epoch(n, 3 * n, 1e-4, 1.0, 0.5, 0.5, 1.0, rate, 0.5, 1.0) for n, rate in enumerate(rates, start=1)]


@pytest.mark.parametrize(
    ("rates", "waited"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.5, 0.5], 1),
        ([0.5, 0.4, 0.6], 0),
        ([0.5, 0.6, 0.4, None, 0.6], 3),
        ([None, None], 2),
    ],
)
def test_epochs_without_a_better_one_by_hand(rates: list[float | None], waited: int) -> None:
    assert epochs_without_better(_history(rates)) == waited


def test_a_given_history_ends_where_patience_does(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rates 0.3, 0.6, 0.5, 0.6, (0.9): with a patience of 2, the fourth epoch is the last and the second the model."""
    real, rates = Fit._epoch, [0.3, 0.6, 0.5, 0.6, 0.9]

    def scripted(self, state: TrainingState, advance):  # type: ignore[no-untyped-def]
        real(self, state, advance)
        row = state.history[-1]
        state.history[-1] = Epoch(**{**vars(row), "val_mean_class_accuracy": rates[row.epoch - 1]})

    monkeypatch.setattr(Fit, "_epoch", scripted)
    out, ears = tmp_path / "run", Ears()
    metrics = train(photos, tiny("train.epochs=5", "train.patience=2"), out, device="cpu", reporter=ears)
    assert len((out / "history.csv").read_text().splitlines()) == 5
    assert "training ends early: no better epoch in the last 2 (train.patience)" in ears.lines
    trained = json.loads((out / "best/config.json").read_text())["trained"]
    assert (trained["epoch"], trained["epochs"], trained["ended_early_after_epoch"]) == (2, 5, 4)
    assert "ended early after epoch: 4" in (out / "best/README.md").read_text()
    # A run that has ended early is complete.
    ears.lines.clear()
    assert resume(out, device="cpu", reporter=ears) == metrics
    assert any("training is complete" in line for line in ears.lines)
    assert not any("ends early" in line for line in ears.lines)
    assert len((out / "history.csv").read_text().splitlines()) == 5
    assert json.loads((out / "best/config.json").read_text())["trained"] == trained


def test_patience_with_the_last_epoch_is_refused(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"set train\.patience=null, or train\.choose=best"):
        check_composition(tiny("train.epochs=9", "train.patience=2", "train.choose=last"))


def test_patience_that_never_ends_is_without_effect() -> None:
    with pytest.raises(RecipeError, match=r"without effect unless train\.epochs is at least two more"):
        load_recipe("report", ["train.epochs=5", "train.patience=4"])
    assert load_recipe("report", ["train.epochs=5", "train.patience=3"]).train.patience == 3
    assert load_recipe("report", ["train.epochs=1", "train.patience=null"]).train.patience is None
