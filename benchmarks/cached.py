"""What the feature cache is worth: `python -m benchmarks.cached [--quick]`.

An epoch (with its validation) of a head on cached features, against the head alone on tensors that lie in memory, and
against the same epoch without a cache. Features are random numbers of the cache's shape: time does not depend on them.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.inference.cached import means_of
from gingham.inference.features import FeatureCache, FeatureStore
from gingham.losses import AttributeLoss, soft_targets
from gingham.models.network import Network, build_network
from gingham.progress import Reporter
from gingham.schema import AttributeSchema
from gingham.training.arithmetic import Arithmetic, shape_network
from gingham.training.checkpoint import TrainingState
from gingham.training.groups import parameter_groups
from gingham.training.inputs import CachedInputs, FeatureNetwork, Inputs, PixelInputs
from gingham.training.loop import Fit
from gingham.training.optim import build_optimizer
from gingham.training.recipe import Recipe, load_recipe
from gingham.wardrobe import generate

__all__ = ["HEADS", "fit_of", "labelled_table", "measure", "network_of"]

SCHEMA = AttributeSchema.builtin("deepfashion")

HEADS: dict[str, tuple[str, ...]] = {
    "linear": ("model.head=linear",),
    "query2label-256": ("model.head=query2label", "model.query2label.width=256", "model.query2label.ffn=1024"),
}
"""Name -> changes of the recipe `laptop-report`."""


def measure(
    head: str = "linear",
    *,
    rows: int = 5000,
    photos: int = 128,
    repeats: int = 5,
    precision: str = "fp32",
    cache: Path | None = None,
) -> dict[str, Any]:
    """Time epochs, interleaved; seconds of wall and of processor time, and their ratios.

    Args:
        head: see `HEADS`.
        rows: cached training images; a fifth as many are for validation. A row takes 125 KB of disk.
        photos: training images of the epoch without a cache, whose time is scaled to `rows`.
        repeats: of each.
        precision: of the recipe; the head alone has the same.
        cache: folder for the features; default: a temporary one.

    Returns:
        `cached`, `tokens in memory`, `means in memory`, `uncached`: {"wall": [seconds], "processor": [seconds]};
        `ratios`: of the medians of the wall time.
    """
    recipe = load_recipe("laptop-report", ["model.weights=none", f"train.precision={precision}", *HEADS[head]])
    with tempfile.TemporaryDirectory() as folder:
        place = cache or Path(folder)
        network = network_of(recipe)
        table, val = labelled_table(rows), labelled_table(rows // 5)
        store = _store(place / "features", network.backbone.kept.shape, len(table) + len(val))
        in_memory = {"tokens in memory": torch.from_numpy(store.gather(np.arange(len(store)))).float()}
        kept, grid = store, network.backbone.kept.grid
        if head == "linear":
            kept, grid = means_of(store), (1, 1)
            in_memory["means in memory"] = torch.from_numpy(kept.gather(np.arange(len(kept)))).float()
        inputs = CachedInputs(kept, len(table), views=1, seed=0, grid=grid)
        runs: dict[str, Callable[[], float]] = {
            "cached": _epoch(recipe, network, FeatureNetwork(network), inputs, table, val)
        }
        for name, tensors in in_memory.items():
            runs[name] = _alone(recipe, network, tensors, table, val)
        times = _interleaved(runs, repeats)
        photographed = _photographed(Path(folder) / "wardrobe", photos)
        pixels = PixelInputs(*photographed, _statistics(recipe).preprocess, recipe.augment, seed=0)
        uncached = _epoch(recipe, network, network, pixels, *photographed)
        found = _interleaved({"uncached": uncached}, min(repeats, 2))["uncached"]
        scale = rows / len(photographed[0])
        times["uncached"] = {kind: [scale * value for value in values] for kind, values in found.items()}
    medians = {name: statistics.median(value["wall"]) for name, value in times.items()}
    ratios = {f"cached / {name}": medians["cached"] / medians[name] for name in in_memory}
    return {**times, "ratios": {**ratios, "uncached / cached": medians["uncached"] / medians["cached"]}}


def _statistics(recipe: Recipe) -> Recipe:
    known = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    return recipe.model_copy(update={"preprocess": recipe.preprocess.model_copy(update=known)})


def network_of(recipe: Recipe, seed: int = 0) -> Network:
    """The network of a recipe, for the built-in schema."""
    torch.manual_seed(seed)
    half = (0.5, 0.5, 0.5)
    return build_network(recipe.model, SCHEMA, image_size=recipe.preprocess.size, mean=half, std=half)


def labelled_table(rows: int) -> LabelTable:
    """Random labels of photos that are not there."""
    rng = np.random.default_rng(rows)
    targets = np.stack([rng.integers(size, size=rows) for size in SCHEMA.sizes], axis=1)
    names = tuple(f"{row}.jpg" for row in range(rows))
    return LabelTable(SCHEMA, Path(), names, targets, ("train",) * rows, None, "random numbers")


def _photographed(folder: Path, photos: int) -> tuple[LabelTable, LabelTable]:
    """Photos for training and, a fifth as many, for validation."""
    generate(folder, photos + photos // 5, 0)
    table = read_labels(folder, DataOptions())
    order = np.arange(len(table))
    return table.take(order[:photos].tolist()), table.take(order[photos:].tolist())


def _store(root: Path, shape: tuple[int, int], rows: int) -> FeatureStore:
    rng = np.random.default_rng(0)
    cache = FeatureCache(f"random numbers {shape}", shape, limit_gb=50, root=root)

    def compute(positions: Any) -> Any:
        for start in range(0, len(positions), 64):
            yield rng.standard_normal((len(positions[start : start + 64]), *shape), dtype=np.float32)

    return cache.open([f"row {row}" for row in range(rows)], compute, reporter=Reporter())


def fit_of(
    recipe: Recipe, network: Network, trained: nn.Module, inputs: Inputs, table: LabelTable, val: LabelTable
) -> Fit:
    """Gingham's own loop, for one epoch, with nothing saved."""
    accelerator = Accelerator(cpu=True)
    shape_network(network, trained, recipe.train)
    loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(table.counts()))
    optimizer = build_optimizer(parameter_groups(trained, network.backbone, loss, recipe.train), recipe.train)
    return Fit(
        module=accelerator.prepare(trained),
        inputs=inputs,
        train_table=table,
        val_table=val,
        loss=loss,
        optimizer=optimizer,
        average=None,
        factors=np.ones(len(table)),
        options=recipe.train.model_copy(update={"epochs": 1, "max_steps": None}),
        mix=recipe.mix,
        accelerator=accelerator,
        arithmetic=Arithmetic(recipe.train.precision, recipe.train.matmul, accelerator.device),
        save=lambda state: None,
        on_epoch=lambda state: None,
        stop_asked=lambda: False,
        reporter=Reporter(),
    )


def _epoch(
    recipe: Recipe, network: Network, module: nn.Module, inputs: Inputs, table: LabelTable, val: LabelTable
) -> Callable[[], float]:
    fit = fit_of(recipe, network, module, inputs, table, val)

    def once() -> float:
        state = TrainingState()
        fit.run(state)
        return state.history[-1].train_loss

    return once


def _alone(
    recipe: Recipe, network: Network, tensors: Tensor, table: LabelTable, val: LabelTable
) -> Callable[[], float]:
    """The head, its loss and its optimiser on tensors in memory: what an epoch cannot do without."""
    options = recipe.train
    head = FeatureNetwork(network)
    loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(table.counts()))
    optimizer = build_optimizer(parameter_groups(head, network.backbone, loss, options), options)
    soft, mask = soft_targets(torch.from_numpy(np.concatenate([table.targets, val.targets])), table.schema)
    arithmetic = Arithmetic(options.precision, options.matmul, torch.device("cpu"))

    def step(rows: Tensor) -> Tensor:
        with arithmetic.autocast():
            logits = head(tensors[rows]).float()
        value: Tensor = loss(logits, soft[rows], mask[rows], loss.denominators(soft[rows], mask[rows], 0), 0).total
        return value

    def once() -> float:
        with arithmetic.in_force():
            head.train()
            for rows in torch.randperm(len(table)).split(options.batch_size):
                optimizer.zero_grad()
                step(rows).backward()
                torch.nn.utils.clip_grad_norm_(head.parameters(), options.clip_norm or float("inf"))
                optimizer.step()
            head.eval()
            with torch.inference_mode():
                rows = torch.arange(len(table), len(tensors))
                return float(torch.stack([step(part) for part in rows.split(options.batch_size)]).mean())

    return once


def _interleaved(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, dict[str, list[float]]]:
    times: dict[str, dict[str, list[float]]] = {name: {"wall": [], "processor": []} for name in runs}
    for number in range(repeats + 1):
        for name, run in runs.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            if number:  # The first one warms up.
                times[name]["wall"].append(time.perf_counter() - wall)
                times[name]["processor"].append(time.process_time() - processor)
    return times


@click.command()
@click.option("--quick", is_flag=True, help="Small, to see that it works.")
@click.option("--head", type=click.Choice(list(HEADS)), multiple=True, default=tuple(HEADS), show_default=True)
def main(quick: bool, head: tuple[str, ...]) -> None:
    """Print the times as JSON."""
    small: dict[str, Any] = {"rows": 256, "photos": 16, "repeats": 1} if quick else {}
    print(json.dumps({name: measure(name, **small) for name in head}, indent=2))


if __name__ == "__main__":
    main()
