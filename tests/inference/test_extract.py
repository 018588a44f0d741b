"""Features through OpenVINO: the same numbers as PyTorch's, refused where they are not, kept apart in the cache."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gingham.errors import UserError
from gingham.inference import cached, extract
from gingham.inference.cached import backbone_features
from gingham.inference.extract import choose_runtime, extractor
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

_CPU = torch.device("cpu")
_HERE = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not _HERE, reason="needs OpenVINO")


def network(backbone: str = "test_resnet", **model: Any) -> Network:
    torch.manual_seed(0)
    options = ModelOptions.parse({"backbone": backbone, "weights": "none", "head": "linear", "frozen": True, **model})
    schema = AttributeSchema.builtin("deepfashion")
    return build_network(options, schema, image_size=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2))


def images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


@needs_openvino
@pytest.mark.parametrize(
    ("backbone", "model"),
    [("test_resnet", {}), ("test_vit", {}), ("test_resnet", {"maps": 2}), ("test_vit", {"unfrozen_stages": 1})],
)
def test_both_compute_the_same(backbone: str, model: dict[str, Any]) -> None:
    one = network(backbone, **model).train()
    by_torch, by_openvino = (extractor(one, runtime, _CPU) for runtime in ("torch", "openvino"))
    expected, found = by_torch(images(5)), by_openvino(images(5))
    assert found.shape == expected.shape == (5, *one.backbone.kept.shape)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.array_equal(by_openvino(images(5)), found), "the same bits again"
    assert np.array_equal(by_openvino(images(5)[:2]), found[:2]), "whatever the batch"
    assert one.training


@needs_openvino
def test_features_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run = extract._OpenVino._run
    monkeypatch.setattr(extract._OpenVino, "_run", lambda self, pixels: run(self, pixels) * 1.001)
    with pytest.raises(UserError, match=r"features of test_resnet are 0\.001 of the largest apart .*runtime=torch"):
        extractor(network(), "openvino", _CPU)(images(2))


@needs_openvino
def test_a_network_that_cannot_be_converted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(extract, "_converted", fail)
    with pytest.raises(
        UserError, match=r"cannot convert test_resnet \(no such operation\); set features\.runtime=torch"
    ):
        extractor(network(), "openvino", _CPU)(images(2))


def test_where_it_is_not_installed_auto_is_torch_and_openvino_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract.importlib.util, "find_spec", lambda name: None)
    assert choose_runtime(_CPU) == "torch"
    with pytest.raises(UserError, match=r"features\.runtime=openvino: it is not installed; pip install"):
        extractor(network(), "openvino", _CPU)


def test_a_gpu_has_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract.importlib.util, "find_spec", lambda name: object())
    assert choose_runtime(_CPU) == "openvino"
    assert choose_runtime(torch.device("cuda")) == "torch"
    with pytest.raises(UserError, match=r"only for processors, the network is on cuda"):
        extractor(network(), "openvino", torch.device("cuda"))


class Counting(Reporter):
    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []

    def bar(self, description: str, total: int) -> Any:
        self.bars.append((description, total))
        return super().bar(description, total)


def features(one: Network, rows: Sequence[int], **options: Any) -> tuple[npt.NDArray[Any], list[tuple[str, int]]]:
    shown, pixels = Counting(), images(9)
    store = backbone_features(
        one,
        "weights",
        [f"photo {row}" for row in rows],
        lambda position: pixels[rows[position]],
        limit_gb=1,
        workers=1,
        device=_CPU,
        reporter=shown,
        **options,
    )
    return store.gather(np.arange(len(store))), shown.bars


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))


@needs_openvino
def test_the_cache_keeps_runtimes_apart() -> None:
    one = network()
    by_torch, first = features(one, range(4))
    by_openvino, second = features(one, range(4), runtime="openvino")
    assert first == second == [("features", 4)]
    assert np.abs(by_torch.astype(np.float32) - by_openvino).max() < 1e-3 * np.abs(by_torch).max()
    assert features(one, range(4), runtime="openvino")[1] == []


def test_means_are_those_of_the_cached_tokens_and_are_computed_once() -> None:
    one = network()
    tokens, _ = features(one, range(4))
    means, bars = features(one, range(6), means=True)
    assert bars == [("means of features", 6), ("features", 2)]
    assert means.shape == (6, 1, tokens.shape[2])
    assert means.dtype == np.float32
    np.testing.assert_allclose(means[:4, 0], tokens.astype(np.float64).mean(axis=1), rtol=1e-5, atol=1e-6)
    again, bars = features(one, [5, 0], means=True)
    assert bars == []
    assert np.array_equal(again, means[[5, 0]])


def test_means_that_are_there_need_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    one = network()
    means, _ = features(one, range(3), means=True)

    def fail(*arguments: Any) -> Any:
        raise AssertionError("the backbone is not needed")

    monkeypatch.setattr(cached, "extractor", fail)
    assert np.array_equal(features(one, range(3), means=True)[0], means)
