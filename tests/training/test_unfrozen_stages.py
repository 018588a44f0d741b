"""Runs that train the last stages of a frozen backbone, on cached features or images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham import Tagger
from gingham.audit.label_errors import pooled_features
from gingham.data.decode import MAX_PIXELS, decode
from gingham.data.formats import read_labels
from gingham.errors import RecipeError, UserError
from gingham.inference.bundle import open_bundle
from gingham.progress import Reporter
from gingham.tensors import load_tensors
from gingham.training import estimate
from gingham.training.estimate import warn_if_slow
from gingham.training.interrupt import Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.ears import Ears
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]

_STAGES = ("model.frozen=true", "model.unfrozen_stages=2", "train.learning_rate=3e-3")
_RESNET = ("model.backbone=test_resnet", *_STAGES)
_CACHED = ("features.cache=true", "features.views=2")
_ONE_VIEW = ("augment.resize=null", "augment.horizontal_flip=0", "model.query2label.dropout=0")


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "best" / "model.safetensors")


def _losses(run: Path) -> list[float]:
    return [float(line.split(",")[3]) for line in (run / "history.csv").read_text().splitlines()[1:]]


def _is_rest(name: str) -> bool:
    return name.startswith(("head.", "backbone.model.layer3.", "backbone.model.layer4."))


def test_a_run_changes_and_saves_the_last_stages_only(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    runs = {"one": "train.epochs=1", "three": "train.epochs=3"}
    for name, epochs in runs.items():
        train(photos, tiny(*_RESNET, *_CACHED, epochs), tmp_path / name, device="cpu")
    one, three = (_weights(tmp_path / name) for name in runs)
    changed = {name for name in one if not torch.equal(one[name], three[name])}
    assert {name for name in changed if not _is_rest(name)} == set()
    assert changed >= {name for name in one if _is_rest(name) and name.endswith((".weight", "running_mean"))}
    saved = load_tensors(tmp_path / "one" / "checkpoints" / "step-000000003" / "weights.safetensors")
    assert saved.keys() == {name for name in one if _is_rest(name)}


@pytest.mark.parametrize("statistics", ["train", "eval"])
def test_the_cache_gives_what_images_give(photos: Path, tiny: Tiny, tmp_path: Path, statistics: str) -> None:
    """With one view that cannot vary, but for the cache's rounding to float16."""
    plain = (*_RESNET, *_ONE_VIEW, "train.epochs=3", f"model.batchnorm={statistics}")
    train(photos, tiny(*plain), tmp_path / "uncached", device="cpu")
    train(photos, tiny(*plain, "features.cache=true"), tmp_path / "cached", device="cpu")
    np.testing.assert_allclose(_losses(tmp_path / "uncached"), _losses(tmp_path / "cached"), rtol=5e-3)
    frozen = "backbone.model.layer3.0.bn1.running_mean"
    kept = torch.equal(_weights(tmp_path / "cached")[frozen], torch.zeros(48))
    assert kept == (statistics == "eval")


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_a_stopped_run_goes_on_to_the_same_bits(photos: Path, tiny: Tiny, tmp_path: Path, backbone: str) -> None:
    recipe = tiny(*_STAGES, *_CACHED, f"model.backbone={backbone}", "train.epochs=3")
    train(photos, recipe, tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "cut", device="cpu", stop=StopAt(5))
    torch.manual_seed(99)
    resume(tmp_path / "cut", device="cpu")
    whole, cut = _weights(tmp_path / "whole"), _weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "cut")


def test_the_bundle_is_the_run(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(photos, tiny(*_RESNET, *_CACHED), tmp_path / "run", device="cpu")
    bundle = open_bundle(tmp_path / "run")
    assert bundle.only.model.unfrozen_stages == 2
    network = bundle.network()
    assert not network.training
    table = read_labels(photos).split("val")
    logits = Tagger.load(tmp_path / "run").predict(table).logits
    rows = [bundle.only.preprocess.apply(decode(table.path(row)), None) for row in range(len(table))]
    pixels = torch.from_numpy(np.stack(rows))
    with torch.no_grad():
        again = network(pixels)
        tokens = network.backbone.finish(network.features(pixels))
    np.testing.assert_allclose(again.numpy(), logits, atol=1e-4)
    # An audit looks at the last map, not at what goes into the stages.
    pooled = pooled_features(
        bundle, table, workers=1, max_pixels=MAX_PIXELS, device=torch.device("cpu"), reporter=Reporter()
    )
    expected = torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1)
    np.testing.assert_allclose(pooled, expected.numpy(), atol=1e-2)


def test_tokens_at_the_cut_are_mixed_and_class_tokens_refused(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    mixed = (*_CACHED, "mix.cutmix=1", "mix.level=tokens", "train.epochs=1")
    train(photos, tiny(*_RESNET, *mixed), tmp_path / "resnet", device="cpu")
    with pytest.raises(UserError, match=r"mix\.level is tokens.* are 1 that belong to no place.*unfrozen_stages=0"):
        train(photos, tiny(*_STAGES, *mixed), tmp_path / "vit", device="cpu")
    assert not (tmp_path / "vit").exists()


def test_what_cannot_be_cut_is_refused_before_the_run_begins(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"model\.unfrozen_stages: 'test_resnet' has 4 stages, not 5"):
        train(photos, tiny(*_RESNET, "model.unfrozen_stages=5"), tmp_path / "run", device="cpu")
    with pytest.raises(RecipeError, match=r"model\.maps: where model\.unfrozen_stages begin, only one map is kept"):
        train(photos, tiny(*_RESNET, "model.maps=2"), tmp_path / "run", device="cpu")
    with pytest.raises(RecipeError, match=r"without effect unless model\.frozen is true"):
        tiny("model.unfrozen_stages=1")
    assert not (tmp_path / "run").exists()


def test_the_estimate_counts_gradients_where_there_are_some(
    photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 epochs of 24 images, 2 validations of 12: 3 forward passes' worth of what is trained, one of what is not."""
    spans: dict[str, float] = {}
    monkeypatch.setattr(estimate, "matmul_rate", lambda arithmetic: 1.0)
    monkeypatch.setattr(estimate, "_span", lambda seconds: f"{seconds:.0f} s")
    changes = {
        "whole": ("model.backbone=test_resnet",),
        "frozen": ("model.backbone=test_resnet", "model.frozen=true"),
        "stages": _RESNET,
        "cached": (*_RESNET, "features.cache=true"),
    }
    for name, change in changes.items():
        ears = Ears()
        warn_if_slow(tiny(*change), photos, "cpu", ears)
        spans[name] = float(ears.lines[0].split("at least ")[1].split(" s")[0])
    whole = spans["whole"] / (3 * 48 + 24)
    trained = spans["cached"] / (3 * 48 + 24)
    assert 0 < trained < whole
    assert spans["stages"] == pytest.approx(trained * (3 * 48 + 24) + (whole - trained) * (48 + 24), rel=1e-6)
    assert spans["frozen"] < spans["stages"] < spans["whole"]
