"""What the cache's rows are filed under: image bytes, box, preprocessing, view, and weights."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.data.augment import Augment
from gingham.data.decode import decode
from gingham.data.formats import read_labels
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.data.test_time import TestTime
from gingham.inference.features import FeatureOptions
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.models.tensors import state_hash
from gingham.progress import Bar, Reporter
from gingham.training.inputs import CachedInputs, cached_inputs, cached_views
from tests import tiny


class Counting(Reporter):
    """Adds up how many rows of features are computed."""

    def __init__(self) -> None:
        self.rows = 0

    @contextlib.contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        self.rows += total if description == "features" else 0
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
    reporter = Counting()
    options = FeatureOptions(cache=True, views=views, view_seed=view_seed)
    parts = table.split("train"), table.split("val")
    opened(*parts, options, reporter, network=network, preprocess=preprocess, augment=augment, seed=seed)
    return reporter.rows


def opened(
    train: LabelTable,
    val: LabelTable,
    options: FeatureOptions,
    reporter: Counting,
    *,
    network: Network | None = None,
    preprocess: Preprocess | None = None,
    augment: Augment = AUGMENT,
    seed: int = 0,
) -> CachedInputs:
    network = network or tiny.network()
    return cached_inputs(
        network,
        state_hash(network.backbone.state_dict()),
        train,
        val,
        preprocess or tiny.preprocess(),
        augment,
        options,
        seed=seed,
        workers=1,
        device=torch.device("cpu"),
        reporter=reporter,
    )


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
    assert computed(moved) == 0  # a copy has the features of the original
    with (moved / "img" / "00000.jpg").open("ab") as stream:
        stream.write(b" ")
    assert computed(moved) == 1  # bytes do count
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


def test_an_image_keeps_its_features_wherever_it_stands(
    wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all folds each image needs each of its views once, and its evaluation view once."""
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))
    table, options, ears = read_labels(wardrobe), FeatureOptions(cache=True, views=2), Counting()
    rows = np.random.default_rng(0).permutation(12)
    seen: dict[tuple[int, int], bytes] = {}
    for fold in range(3):
        train, val = rows[np.arange(12) % 3 != fold], rows[np.arange(12) % 3 == fold]
        inputs = opened(table.take(train), table.take(val), options, ears)
        for number in range(2):
            for place, row in enumerate(train.tolist()):
                view = inputs._gather(np.array([number * len(train) + place])).numpy().tobytes()
                assert seen.setdefault((row, number), view) == view
    assert ears.rows == 12 * 2 + 12
    # Made anew, in another order: a view does not depend on who asked for it first.
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "another"))
    backwards = np.arange(11, -1, -1)
    inputs = opened(table.take(backwards), table.take([12]), options, ears)
    for (row, number), view in seen.items():
        again = inputs._gather(np.array([number * 12 + 11 - row])).float().numpy()
        np.testing.assert_allclose(again.ravel(), np.frombuffer(view, dtype=np.float32), atol=2e-3)
    assert len(set(seen.values())) == 24, "no two images, and no two views of one, have the same features"


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


def test_mirror_images_are_shared_with_evaluation(
    wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An even chance of a mirror image and nothing else: two views, which training and test-time views both know."""
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))
    table, options, ears = read_labels(wardrobe), FeatureOptions(cache=True, views=4), Counting()
    train, val, network = table.take(np.arange(6)), table.take(np.arange(6, 9)), tiny.network()
    inputs = opened(train, val, options, ears, network=network, augment=Augment(resize=None, horizontal_flip=0.5))
    assert ears.rows == 2 * 6 + 3
    preprocess = tiny.preprocess()
    for row in range(6):
        page = preprocess.apply(decode(train.path(row)), None)
        for number, shown in enumerate((page, page[:, ::-1])):
            features = network.features(torch.from_numpy(shown.copy()[None]))
            np.testing.assert_allclose(
                inputs._gather(np.array([6 * number + row])).numpy(), features.detach().numpy(), rtol=2e-3, atol=2e-3
            )
    space = state_hash(network.backbone.state_dict())
    shown = {"workers": 1, "device": torch.device("cpu"), "reporter": ears}
    cached_views(network, space, table.take(np.arange(9)), preprocess, TestTime(flip=True), options, **shown)
    assert ears.rows == 2 * 9, "only the mirror images of the validation images were new"
    uneven = Augment(resize=None, horizontal_flip=0.25)
    opened(train, val, options, ears, network=network, augment=uneven)
    assert ears.rows == 2 * 9 + 4 * 6
