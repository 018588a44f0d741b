"""A step of fine-tuning against the plain loop.

Plain is what people write: fp32, PyTorch's default matrix products, its default AdamW. Pixels lie in memory, as this is
about the step; the photos are random numbers with labels that can be learnt from them, so that a loss means something.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.cached import fit_of, labelled_table, network_of
from benchmarks.comparison import Settings, Spec, Table, compare
from benchmarks.work import Answers, Work
from gingham.data.table import LabelTable
from gingham.heap import keep_freed_memory
from gingham.losses import AttributeLoss, soft_targets
from gingham.training.arithmetic import has_bf16
from gingham.training.checkpoint import TrainingState
from gingham.training.groups import parameter_groups
from gingham.training.inputs import FeatureNetwork
from gingham.training.order import Indices
from gingham.training.recipe import Recipe, load_recipe

__all__ = ["ARRANGEMENTS", "MODELS", "measure", "training"]

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
it, in memory; of the others all of the network is trained. `tiny` is for a quick look."""

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


_SEEDS, _STEPS = 3, 16


def measure(settings: Settings) -> list[Table]:
    """A table for each model: steps, the memory of the process that takes them, and the losses that they end with."""
    models = ["tiny"] if settings.quick else ["laptop-recipe", "laptop", *["swin-large"] * settings.swin]
    return [
        compare(
            f"A step of fine-tuning: {model}, batch {_recipe(model, _PLAIN).train.batch_size}",
            baselines=[_spec(model, _PLAIN, settings)],
            candidates=[_spec(model, name, settings) for name in _compared(model)],
            unit="steps",
            settings=settings,
            differ=partial(_losses, steps=4 if settings.quick else _STEPS),
        )
        for model in models
    ]


def _compared(model: str) -> list[str]:
    """Of a large network, three at once fill the memory. A ViT for tests has no blocks that are computed again."""
    left_out = {"swin-large": {_PLAIN, "gingham fp32"}, "tiny": {_PLAIN, "gingham, checkpointing"}}
    return [name for name in ARRANGEMENTS if name not in left_out.get(model, {_PLAIN})]


def _spec(model: str, arrangement: str, settings: Settings) -> Spec:
    arguments = {"model": model, "arrangement": arrangement, "steps": 4 if settings.quick else _STEPS}
    return Spec(arrangement, "benchmarks.finetune:training", arguments, {"OMP_NUM_THREADS": str(settings.clock.cores)})


def training(model: str, arrangement: str, steps: int) -> Work:
    """Steps of one arrangement; the answers of the plain loop and of `gingham` are their final losses, seed by seed."""
    if arrangement != _PLAIN:
        keep_freed_memory()
    held = [_stepper(model, arrangement, seed=0)[0]]
    turn = iter(range(10**9))

    def call() -> int:
        held[0](next(turn))
        return 1

    def answers() -> list[list[float]]:
        # One network at a time.
        held.clear()
        return [[_final_loss(model, arrangement, seed, steps) for seed in range(_SEEDS)]]

    return Work(call, answers if arrangement in {_PLAIN, "gingham"} else None)


def _losses(reference: Answers, answers: Answers, steps: int) -> dict[str, str]:
    """Two sets of final losses, and how far their means are apart."""
    plain, found = reference[0], answers[0]
    away = abs(statistics.mean(found) - statistics.mean(plain)) / statistics.stdev(plain)
    shown = "; plain ".join(", ".join(f"{loss:.3f}" for loss in losses) for losses in (found, plain))
    return {f"loss after {steps} steps, {_SEEDS} seeds": shown, "means differ by": f"{away:.2g} std of plain"}


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
