"""A step of fine-tuning against the plain loop: `python -m benchmarks.finetune [--quick]`.

Plain is what people write: fp32, PyTorch's default matrix products, its default AdamW. Pixels lie in memory, as this is
about the step; the photos are random numbers with labels that can be learnt from them, so that a loss means something.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cached import fit_of, labelled_table, network_of
from gingham.data.table import LabelTable
from gingham.losses import AttributeLoss, soft_targets
from gingham.training.arithmetic import has_bf16
from gingham.training.checkpoint import TrainingState
from gingham.training.groups import parameter_groups
from gingham.training.inputs import FeatureNetwork
from gingham.training.order import Indices
from gingham.training.recipe import Recipe, load_recipe

__all__ = ["ARRANGEMENTS", "MODELS", "measure"]

_UNMIXED = ("mix.mixup=0", "mix.cutmix=0")

MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "laptop-recipe": ("laptop", ("train.batch_size=32",)),
    "laptop": (
        "laptop",
        (
            "model.frozen=false",
            "features.cache=false",
            "train.batch_size=32",
            "train.backbone_rate=1",
        ),
    ),
    "swin-large": ("report", ("model.weights=none", "train.batch_size=4")),
    "tiny": (
        "report",
        (
            "model.backbone=test_vit",
            "model.weights=none",
            "model.query2label.width=64",
            "model.query2label.ffn=128",
            "preprocess.size=64",
            "augment.resize=72",
            "train.batch_size=4",
        ),
    ),
}
"""Name -> recipe and its changes. `laptop-recipe` is that as it is: the last stage and the head, on what comes before
it, cached; of the others all of the network is trained. `tiny` is for `--quick`."""

ARRANGEMENTS: dict[str, tuple[str, ...]] = {
    "plain fp32 loop": (),
    "gingham fp32": ("train.precision=fp32",),
    "gingham": ("train.precision=auto",),
    "gingham, checkpointing": ("train.precision=auto", "train.checkpointing=true"),
}
"""Name -> changes of the recipe; the first one is a loop of its own."""

_PLAIN = next(iter(ARRANGEMENTS))


@dataclass(frozen=True)
class _Inputs:
    """Pixels or tokens in memory, as `Inputs`."""

    pixels: Tensor

    @property
    def at_hand(self) -> bool:
        return True

    @property
    def grid(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    def train(self, epoch: int, indices: Indices) -> Tensor:
        return self.pixels[torch.from_numpy(indices)]

    def val(self, indices: Indices) -> Tensor:
        return self.pixels[torch.from_numpy(indices)]


def measure(
    models: tuple[str, ...] = ("laptop-recipe", "laptop", "swin-large"),
    *,
    quick: bool = False,
    repeats: int = 7,
    steps: int = 16,
) -> list[dict[str, Any]]:
    """Time steps, interleaved, and train a little with each arrangement.

    Args:
        models: see `MODELS`.
        quick: few steps of a tiny model instead, to see that it works.
        repeats: timed steps of each.
        steps: of the training whose final loss is compared.

    Returns:
        A row for each model and arrangement: `table` (of the model), `name`, `unit`, `samples` (seconds a step, wall),
        `processor` (seconds a step), `cells`: peak memory of a process of its own, the final loss with the seeds 0, 1
        and 2 of the plain loop and of `gingham`, and how many of the plain loop's standard deviations the latter's
        mean is away.
    """
    if quick:
        models, repeats, steps = ("tiny",), 2, 4
    rows = []
    for model in models:
        known = [name for name in ARRANGEMENTS if model != "tiny" or "checkpointing" not in name]
        steppers = {name: _stepper(model, name, seed=0)[0] for name in known}
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in known}
        for number in range(repeats + 1):
            for name, step in steppers.items():
                wall, processor = time.perf_counter(), time.process_time()
                step(number)
                if number:  # The first one warms up.
                    samples[name].append((time.perf_counter() - wall, time.process_time() - processor))
        steppers.clear()
        finals = {name: [_final_loss(model, name, seed, steps) for seed in range(3)] for name in (_PLAIN, "gingham")}
        spread = statistics.stdev(finals[_PLAIN])
        away = abs(statistics.mean(finals["gingham"]) - statistics.mean(finals[_PLAIN])) / spread
        for name in known:
            cells: dict[str, Any] = {"peak memory, MB": round(_peak(model, name) / 2**20)}
            if name in finals:
                cells[f"loss after {steps} steps, 3 seeds"] = ", ".join(f"{loss:.4f}" for loss in finals[name])
            if name == "gingham":
                cells["standard deviations from fp32"] = round(away, 2)
            rows.append(
                {
                    "table": f"A step of fine-tuning: {model}, batch {_recipe(model, name).train.batch_size}",
                    "name": name,
                    "unit": "seconds a step",
                    "samples": [wall for wall, _ in samples[name]],
                    "processor": [processor for _, processor in samples[name]],
                    "cells": cells,
                }
            )
    return rows


def _recipe(model: str, arrangement: str) -> Recipe:
    name, changes = MODELS[model]
    recipe = load_recipe(name, [*_UNMIXED, *changes, *ARRANGEMENTS[arrangement]])
    precision = recipe.train.precision
    if precision == "auto":
        precision = "bf16" if has_bf16(torch.device("cpu")) else "fp32"
    # Warm-up and schedule would only blur a comparison of a few steps.
    train = recipe.train.model_copy(update={"precision": precision, "schedule": "constant", "warmup_steps": 0})
    return recipe.model_copy(update={"train": train})


def _data(recipe: Recipe, batches: int) -> tuple[LabelTable, Tensor]:
    """Labels, and pixels that show them: each attribute's class is the brightness of a strip of the image."""
    table = labelled_table(batches * recipe.train.batch_size)
    size = recipe.preprocess.size
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (len(table), size, size, 3), dtype=np.uint8)
    strip = size // len(table.schema)
    for k, classes in enumerate(table.schema.sizes):
        shade = (table.targets[:, k] * (160 // max(1, classes - 1))).astype(np.uint8)
        pixels[:, k * strip : (k + 1) * strip] = (
            pixels[:, k * strip : (k + 1) * strip] // 4 + shade[:, None, None, None]
        )
    return table, torch.from_numpy(pixels)


def _stepper(
    model: str, arrangement: str, seed: int, batches: int = 4
) -> tuple[Callable[[int], float], Callable[[], float]]:
    """What takes a step and gives its loss, and what gives the loss over all data, in fp32 and eval mode."""
    recipe = _recipe(model, arrangement)
    table, pixels = _data(recipe, batches)
    network = network_of(recipe, seed)
    trained: nn.Module = network
    if recipe.features.cache:
        trained = FeatureNetwork(network)
        with torch.inference_mode():
            pixels = torch.cat([network.features(part) for part in pixels.split(8)])
        pixels = pixels.clone()
    size = recipe.train.batch_size
    loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(table.counts()))
    soft, mask = soft_targets(torch.from_numpy(table.targets), table.schema)

    def whole() -> float:
        trained.eval()
        with torch.inference_mode():
            logits = torch.cat([trained(part) for part in pixels.split(size)])
            found = float(loss(logits, soft, mask, loss.denominators(soft, mask, 0), 0).total)
        trained.train()
        return found

    torch.manual_seed(seed)
    trained.train()
    if arrangement == _PLAIN:
        groups = parameter_groups(trained, network.backbone, loss, recipe.train)
        return _plain(recipe, trained, groups, loss, pixels, soft, mask), whole
    fit = fit_of(recipe, network, trained, _Inputs(pixels), table, table)
    state = TrainingState()

    def step(number: int) -> float:
        batch = np.arange(size, dtype=np.int64) + number % batches * size
        with fit.arithmetic.in_force():
            done = fit._step(state, batch, [fit._load(0, number, batch, np.arange(size, dtype=np.int64))])
        state.step += 1
        return done.loss

    return step, whole


def _plain(
    recipe: Recipe,
    network: nn.Module,
    groups: list[dict[str, Any]],
    loss: AttributeLoss,
    pixels: Tensor,
    soft: Tensor,
    mask: Tensor,
) -> Callable[[int], float]:
    options, size = recipe.train, recipe.train.batch_size
    rated = [{**group, "lr": options.learning_rate * group["lr_scale"]} for group in groups]
    optimizer = torch.optim.AdamW(rated, betas=options.betas, eps=options.epsilon)
    parts = list(zip(pixels.split(size), soft.split(size), mask.split(size), strict=True))

    def step(number: int) -> float:
        images, targets, known = parts[number % len(parts)]
        optimizer.zero_grad()
        value = loss(network(images), targets, known, loss.denominators(targets, known, 0), 0).total
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm or float("inf"))
        optimizer.step()
        return float(value.detach())

    return step


def _final_loss(model: str, arrangement: str, seed: int, steps: int) -> float:
    step, whole = _stepper(model, arrangement, seed)
    for number in range(steps):
        step(number)
    return whole()


def _peak(model: str, arrangement: str) -> int:
    """Bytes that a process held at most which took two steps and nothing else."""
    command = [sys.executable, "-m", "benchmarks.finetune", "--peak", model, arrangement]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


@click.command()
@click.option("--quick", is_flag=True, help="Small, to see that it works.")
@click.option(
    "--model",
    "models",
    type=click.Choice(list(MODELS)),
    multiple=True,
    default=("laptop-recipe", "laptop", "swin-large"),
)
@click.option("--peak", nargs=2, hidden=True)
def main(quick: bool, models: tuple[str, ...], peak: tuple[str, str] | None) -> None:
    """Print the rows as JSON."""
    if peak:
        step, _ = _stepper(*peak, seed=0, batches=2)
        step(0)
        step(1)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    print(json.dumps(measure(models, quick=quick), indent=2))


if __name__ == "__main__":
    main()
