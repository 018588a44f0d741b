import math

import pytest
import torch
from torch import nn

from gingham.training.optim import build_optimizer, learning_rate_at, set_learning_rate
from gingham.training.options import TrainOptions


def test_the_cosine_starts_at_the_full_rate_and_ends_at_zero() -> None:
    options = TrainOptions(learning_rate=1e-4)
    assert learning_rate_at(0, 100, options) == 1e-4
    assert learning_rate_at(50, 100, options) == pytest.approx(0.5e-4)
    assert learning_rate_at(25, 100, options) == pytest.approx(1e-4 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert learning_rate_at(100, 100, options) == pytest.approx(0, abs=1e-20)


def test_the_cosine_is_that_of_pytorch() -> None:
    options = TrainOptions(learning_rate=0.3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=17)
    for step in range(17):
        assert learning_rate_at(step, 17, options) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    options = TrainOptions(learning_rate=1.0, warmup_steps=4)
    assert [learning_rate_at(step, 10, options) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_constant_schedule_stays() -> None:
    assert {learning_rate_at(step, 10, TrainOptions(schedule="constant")) for step in range(10)} == {1e-4}


@pytest.mark.parametrize(("name", "decoupled"), [("adamw", True), ("adam", False)])
def test_weight_decay_is_decoupled_in_adamw_alone(name: str, decoupled: bool) -> None:
    """By hand: the first Adam step moves by the rate whatever the gradient's size; AdamW shrinks the weight besides."""
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    options = TrainOptions.parse({"optimizer": name, "learning_rate": 0.1, "weight_decay": 0.5, "epsilon": 1e-12})
    optimizer = build_optimizer([weight], options)
    (3 * weight).sum().backward()
    set_learning_rate(optimizer, 0.1)
    optimizer.step()
    expected = 2.0 * (1 - 0.1 * 0.5) - 0.1 if decoupled else 2.0 - 0.1
    assert weight.item() == pytest.approx(expected, rel=1e-9)
