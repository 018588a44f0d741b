"""Runs that mix: what they are made of, that they resume bit for bit, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.errors import UserError
from gingham.losses import AttributeLoss
from gingham.tensors import load_tensors
from gingham.training.interrupt import Stop, Stopped
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import resume, train

Tiny = Callable[..., Recipe]

_CACHED = ("model.frozen=true", "features.cache=true", "features.views=2", "mix.level=tokens")
_BOTH = ("mix.mixup=1", "mix.cutmix=1", "mix.mode=element")


class _StopAt(Stop):
    def __init__(self, look: int) -> None:
        self._looks = look

    def asked(self) -> bool:
        self._looks -= 1
        return self._looks <= 0


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "best" / "model.safetensors")


def _losses(run: Path) -> list[str]:
    return [line.split(",")[3] for line in (run / "history.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("base", [(), _CACHED])
def test_a_resumed_run_mixes_as_an_undisturbed_one(
    photos: Path, tiny: Tiny, tmp_path: Path, base: tuple[str, ...]
) -> None:
    recipe = tiny(*base, *_BOTH, "augment.trivial_augment=true", "train.workers=2")
    train(photos, recipe, tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "cut", device="cpu", stop=_StopAt(2))
    resume(tmp_path / "cut", device="cpu")
    whole, cut = _weights(tmp_path / "whole"), _weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "cut")
    assert load_recipe(str(tmp_path / "cut" / "recipe.yaml")).mix == recipe.mix


def test_accumulation_changes_nothing(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    losses = []
    for accumulation in (1, 3):
        recipe = tiny(*_BOTH, "model.query2label.dropout=0", f"train.accumulation={accumulation}", "train.max_steps=3")
        train(photos, recipe, tmp_path / str(accumulation), device="cpu")
        losses.append([float(loss) for loss in _losses(tmp_path / str(accumulation))])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_denominators_are_those_of_the_mixed_batch(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all micro-batches the parts' own denominators sum to the one that the loss is divided by."""
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = AttributeLoss.forward

    def spy(self: AttributeLoss, logits, soft, mask, denominators, epoch):  # type: ignore[no-untyped-def]
        calls.append((self.denominators(soft, mask, epoch), denominators))
        return forward(self, logits, soft, mask, denominators, epoch)

    monkeypatch.setattr(AttributeLoss, "forward", spy)
    train(photos, tiny(*_BOTH, "train.accumulation=2", "train.max_steps=2"), tmp_path / "run", device="cpu")
    for step in (0, 2):
        summed = calls[step][0] + calls[step + 1][0]
        torch.testing.assert_close(summed, calls[step][1])
        assert summed[1] < summed[0], "tones are missing now and then"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("model.frozen=true", "features.cache=true", "mix.mixup=1"), r"set mix\.level=tokens"),
        (("mix.cutmix=1", "mix.level=tokens"), r"set mix\.level=pixels, or features\.cache=true"),
    ],
)
def test_what_cannot_be_mixed_is_refused_before_the_run_begins(
    photos: Path, tiny: Tiny, tmp_path: Path, changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(photos, tiny(*changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
