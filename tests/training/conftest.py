"""A data set that is learnt in seconds, and a recipe small enough for it."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.training import run
from gingham.training.recipe import Recipe, load_recipe

_HUES = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 210)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `labels.csv`: 36 pictures, attributes hue and tone, of which every sixth tone is unlabelled."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(7)
    rows = []
    for number in range(36):
        hue, tone = list(_HUES)[number % 3], ("dark", "light")[number // 3 % 2]
        colour = np.array(_HUES[hue]) * (0.4 if tone == "dark" else 1.0)
        pixels = np.clip(colour + rng.normal(0, 20, (70, 60, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        split = "val" if number % 3 == number // 3 % 3 else "train"
        rows.append([f"{number:02d}.png", hue, "" if number % 6 == 5 else tone, split])
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "hue", "tone", "split"], *rows])
    return folder


@pytest.fixture
def curves() -> None:
    """For a test whose runs draw their curves and write their report."""


@pytest.fixture(autouse=True)
def _no_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curves and write no report, which is half of the work of a tiny one."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr(run, "plot_curves", lambda columns, path: None)
        monkeypatch.setattr(run, "write_report", lambda *_, **__: None)


@pytest.fixture
def tiny() -> Callable[..., Recipe]:
    """Builds a recipe: a random small network, trained as a whole, with changes as `--set` takes them."""

    def build(*changes: str) -> Recipe:
        other = any(change.startswith("model.head=") and change != "model.head=query2label" for change in changes)
        cached = ["features.runtime=torch"] if "features.cache=true" in changes else []
        head = [] if other else ["model.query2label.width=32", "model.query2label.ffn=64"]
        base = [
            "model.backbone=test_vit",
            "model.weights=none",
            *head,
            *cached,
            "train.precision=fp32",
            "preprocess.size=64",
            "augment.resize=72",
            "train.epochs=2",
            "train.batch_size=10",
            "train.workers=1",
        ]
        return load_recipe("report", [*base, *changes])

    return build
