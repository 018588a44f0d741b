"""The moving average of the weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.tensors import load_tensors
from gingham.training.ema import WeightAverage, without_averages
from gingham.training.interrupt import Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]


def test_it_is_the_average_that_float64_says() -> None:
    """The definition written out, over 200 steps: the decay rises to its limit on the way."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(201, 7))
    live = {"w": torch.tensor(weights[0], dtype=torch.float32)}
    average = WeightAverage(live, 0.9)
    expected = weights[0]
    decays = []
    for step in range(200):
        live["w"].copy_(torch.from_numpy(weights[step + 1]))
        average.update(step)
        decays.append(min(0.9, (1 + step) / (10 + step)))
        expected = decays[-1] * expected + (1 - decays[-1]) * weights[step + 1]
    np.testing.assert_allclose(average.tensors()["average.w"], expected, rtol=1e-5, atol=1e-6)
    assert (decays[0], decays[80], decays[81]) == (0.1, 0.9, 0.9)


def test_it_is_a_weighted_mean_of_all_weights() -> None:
    """By hand, two steps from 0: 0.9 x 1, and then 2/11 of that and 9/11 of 2."""
    live = {"w": torch.zeros(1)}
    average = WeightAverage(live, 0.99)
    for step, value in enumerate((1.0, 2.0)):
        live["w"].fill_(value)
        average.update(step)
    assert average.tensors()["average.w"].item() == pytest.approx(2 / 11 * 0.9 + 9 / 11 * 2.0)


def test_the_network_has_it_only_inside() -> None:
    live = {"w": torch.tensor([1.0, -0.0]), "count": torch.tensor(5)}
    average = WeightAverage(live, 0.5)
    live["w"].copy_(torch.tensor([3.0, 4.0]))
    live["count"].fill_(6)
    average.update(50)
    before = {name: tensor.clone() for name, tensor in average.tensors().items()}
    seen = []

    def fail() -> None:
        with average.in_force():
            seen.extend(live["w"].tolist())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [2.0, 2.0]
    assert live["w"].tolist() == [3.0, 4.0]
    assert live["count"].item() == 6
    assert all(torch.equal(average.tensors()[name], tensor) for name, tensor in before.items())
    assert before["average.count"].item() == 6, "a counter is copied"


def test_it_goes_into_a_checkpoint_beside_the_weights() -> None:
    live = {"w": torch.ones(2)}
    average = WeightAverage(live, 0.5)
    live["w"].fill_(9)
    saved = {**live, **average.tensors()}
    assert without_averages(saved)["w"].tolist() == [9, 9]
    assert without_averages(saved, in_force=True)["w"].tolist() == [1, 1]
    assert without_averages(live, in_force=True)["w"].tolist() == [9, 9]
    other = WeightAverage(live, 0.5)
    other.load(saved)
    assert other.tensors()["average.w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        ("model.backbone=test_resnet",),
        ("model.frozen=true", "features.cache=true", "features.views=2"),
        ("model.backbone=test_resnet", "model.frozen=true", "model.unfrozen_stages=1", "features.cache=true"),
    ],
)
def test_a_resumed_run_averages_to_the_same_bits(
    photos: Path, tiny: Tiny, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    """With running statistics that are averaged too; and the average is what is validated, saved and measured."""
    recipe = tiny("train.ema=0.8", "train.epochs=3", "train.learning_rate=1e-2", "train.choose=last", *changes)
    metrics = train(photos, recipe, tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "cut", device="cpu", stop=StopAt(8))
    torch.manual_seed(99)
    assert resume(tmp_path / "cut", device="cpu") == metrics
    histories = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "cut")]
    assert len({tuple(line.rpartition(",")[0] for line in lines) for lines in histories}) == 1
    assert float(histories[0][-1].split(",")[7]) == pytest.approx(metrics.mean_class_accuracy)
    whole, cut = (
        load_tensors(tmp_path / name / "checkpoints/step-000000009/weights.safetensors") for name in ("whole", "cut")
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    model = load_tensors(tmp_path / "whole/best/model.safetensors")
    averages = {name.removeprefix("average."): name for name in whole if name.startswith("average.")}
    assert averages.keys() == {name for name in whole if not name.startswith("average.")}
    assert all(torch.equal(model[name], whole[average]) for name, average in averages.items())
    assert any(not torch.equal(whole[name], whole[average]) for name, average in averages.items())


def test_averaging_leaves_the_steps_alone(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    for name, changes in (("plain", ()), ("averaged", ("train.ema=0.9",))):
        train(photos, tiny("model.backbone=test_resnet", *changes), tmp_path / name, device="cpu")
    plain, averaged = (
        load_tensors(tmp_path / name / "checkpoints/step-000000006/weights.safetensors")
        for name in ("plain", "averaged")
    )
    assert all(torch.equal(averaged[name], tensor) for name, tensor in plain.items())
