"""What the cache's rows are filed under: image bytes, box, preprocessing, view, and weights."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gingham.data.augment import Augment
from gingham.data.formats import read_labels
from gingham.data.preprocess import Preprocess
from gingham.inference.features import FeatureOptions
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.models.tensors import state_hash
from gingham.progress import Bar, Reporter
from gingham.training.inputs import cached_inputs
from tests import tiny


class Counting(Reporter):
    """Adds up how many rows are computed."""

    def __init__(self) -> None:
        self.rows = 0

    @contextlib.contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        self.rows += total
        yield Bar()


AUGMENT = Augment(resize=72)


def computed(
    data: Path,
    *,
    network: Network | None = None,
    preprocess: Preprocess | None = None,
    augment: Augment = AUGMENT,
    views: int = 1,
    view_seed: int = 0,
    seed: int = 0,
) -> int:
    """How many rows of 14 + 3 images had to be computed."""
    table = read_labels(data)
    network = network or tiny.network()
    reporter = Counting()
    cached_inputs(
        network,
        state_hash(network.backbone.state_dict()),
        table.split("train"),
        table.split("val"),
        preprocess or tiny.preprocess(),
        augment,
        FeatureOptions(cache=True, views=views, view_seed=view_seed),
        seed=seed,
        workers=1,
        device=torch.device("cpu"),
        reporter=reporter,
    )
    return reporter.rows


def test_each_of_them_changes_the_key(wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    shutil.copytree(wardrobe, data)
    assert computed(data) == 17
    assert computed(data) == 0
    assert computed(data, seed=5) == 0  # of the training alone
    assert computed(data, views=2) == 14
    assert computed(data, view_seed=1) == 14
    assert computed(data, augment=AUGMENT.model_copy(update={"resize": 80})) == 14
    assert computed(data, preprocess=tiny.preprocess().model_copy(update={"interpolation": "bilinear"})) == 17
    assert computed(data, preprocess=tiny.preprocess("box")) == 17
    assert computed(data, network=tiny.network(seed=1)) == 17

    moved = tmp_path / "moved"
    data.rename(moved)
    assert computed(moved) == 0  # the place does not count
    shutil.copy(moved / "img" / "00001.jpg", moved / "img" / "00000.jpg")
    assert computed(moved) == 1  # its bytes do
    (moved / "split" / "val_bbox.txt").write_text("10 10 90 90\n" * 3)
    assert computed(moved, preprocess=tiny.preprocess("box")) >= 3


def test_the_head_does_not_count(wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))
    network = tiny.network()
    assert computed(wardrobe, network=network) == 17
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(1)
    assert computed(wardrobe, network=network) == 0


def test_where_in_the_backbone_counts(wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one ViT with one set of weights, whose features have one shape before any of its blocks."""
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))

    def network(**place: int) -> Network:
        torch.manual_seed(0)
        options = {**tiny.MODEL.model_dump(), "backbone": "test_vit", "frozen": True, **place}
        return build_network(ModelOptions.parse(options), tiny.SCHEMA, image_size=64, mean=tiny.MEAN, std=tiny.STD)

    for place in ({"unfrozen_stages": 1}, {"unfrozen_stages": 2}, {"maps": 2}, {}):
        assert computed(wardrobe, network=network(**place)) == 17
        assert computed(wardrobe, network=network(**place)) == 0
