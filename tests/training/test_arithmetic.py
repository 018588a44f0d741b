"""Precision, layout of memory, checkpointing, compilation: what they change, what they leave alone, what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gingham.errors import UserError
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.tensors import load_tensors
from gingham.training import arithmetic, auto, loop
from gingham.training.arithmetic import Arithmetic, check_arithmetic, next_scale, shape_network, unscale
from gingham.training.inputs import FeatureNetwork
from gingham.training.interrupt import Stopped
from gingham.training.options import TrainOptions
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.tiny import StopAtOnce

Build = Callable[..., Recipe]

_CPU = torch.device("cpu")
_SCHEMA = AttributeSchema.builtin("deepfashion")


def network(backbone: str, **model: Any) -> Network:
    torch.manual_seed(0)
    options = ModelOptions.parse({"backbone": backbone, "weights": "none", "head": "linear", **model})
    return build_network(options, _SCHEMA, image_size=64, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))


def losses(out: Path) -> list[str]:
    return [line.split(",")[3] for line in (out / "history.csv").read_text().splitlines()[1:]]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_tensors(out / "best" / "model.safetensors")


def test_matmul_is_set_inside_only() -> None:
    before = torch.get_float32_matmul_precision()
    with Arithmetic("fp32", "medium", _CPU).in_force():
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before


def test_a_run_sets_it(photos: Path, tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    step = loop.Fit._step

    def spy(*args: Any) -> Any:
        seen.add(torch.get_float32_matmul_precision())
        return step(*args)

    monkeypatch.setattr(loop.Fit, "_step", spy)
    train(photos, tiny("train.max_steps=1", "train.matmul=high"), tmp_path / "run", device="cpu")
    assert seen == {"high"}
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_is_what_layers_compute_in(precision: Any, expected: torch.dtype) -> None:
    layer = nn.Linear(4, 4)
    with Arithmetic(precision, "highest", _CPU).autocast():
        assert layer(torch.ones(2, 4)).dtype == expected


def test_auto_is_decided_by_the_device_said_and_kept(
    photos: Path, tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "has_bf16", lambda device: True)
    recipe = tiny("train.precision=auto", "train.epochs=1")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "run", device="cpu", stop=StopAtOnce())
    assert "precision: bf16" in (tmp_path / "run" / "recipe.yaml").read_text()
    # On another machine `auto` would be something else: the run keeps what it began with, also where that is asked for.
    monkeypatch.setattr(auto, "has_bf16", lambda device: False)
    resume(tmp_path / "run", recipe=recipe, device="cpu")
    assert "precision: bf16" in (tmp_path / "run" / "recipe.yaml").read_text()
    assert auto.settled(recipe, _CPU).train.precision == "fp32"
    with pytest.raises(UserError, match=r"train\.precision is 'fp32' here and 'bf16' there"):
        resume(tmp_path / "run", recipe=tiny("train.epochs=1"), device="cpu")


def test_what_a_processor_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"train\.precision=fp16: only GPUs .* 1 GFLOP/s .* train\.precision=bf16"):
        check_arithmetic(TrainOptions(precision="fp16"), _CPU)
    check_arithmetic(TrainOptions(precision="fp16"), torch.device("cuda"))
    monkeypatch.setattr(arithmetic.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"train\.compile: torch\.compile needs a C\+\+ compiler .* set it to false"):
        check_arithmetic(TrainOptions(compile=True), _CPU)


def test_the_scale_of_the_loss_follows_the_paper() -> None:
    assert next_scale(1024.0, 7, finite=False) == (512.0, 0)
    assert next_scale(1024.0, 7, finite=True) == (1024.0, 8)
    assert next_scale(1024.0, 1999, finite=True) == (2048.0, 0)
    layer = nn.Linear(3, 2, bias=False)
    layer.weight.grad = torch.full((2, 3), 8.0)
    unscale(layer.parameters(), 4.0)
    assert layer.weight.grad.tolist() == [[2.0] * 3] * 2


@pytest.fixture
def fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic of fp16 runs on a processor too, if slowly."""
    monkeypatch.setattr("gingham.training.parts.check_arithmetic", lambda options, device: None)


@pytest.mark.usefixtures("fp16")
def test_fp16_trains_as_fp32_does_and_goes_on_with_its_scale(photos: Path, tiny: Build, tmp_path: Path) -> None:
    changes = ("model.head=linear", "train.epochs=1", "train.learning_rate=1e-3")
    train(photos, tiny(*changes), tmp_path / "fp32", device="cpu")
    half = tiny(*changes, "train.precision=fp16")
    train(photos, half, tmp_path / "fp16", device="cpu")
    assert float(losses(tmp_path / "fp16")[0]) == pytest.approx(float(losses(tmp_path / "fp32")[0]), rel=1e-2)
    with pytest.raises(Stopped):
        train(photos, half, tmp_path / "stopped", device="cpu", stop=StopAtOnce())
    resume(tmp_path / "stopped", device="cpu")
    one, other = weights(tmp_path / "fp16"), weights(tmp_path / "stopped")
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("fp16")
def test_a_step_whose_scaled_gradient_overflows_is_left_out(
    photos: Path, tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = iter([float("inf"), 1.0, 1.0, 1.0])
    states: list[tuple[float, int]] = []
    monkeypatch.setattr(loop.Fit, "_gradient_norm", lambda self: next(norms))
    step = loop.Fit._step

    def spy(self: loop.Fit, state: Any, *args: Any) -> Any:
        before = next(self.module.parameters()).clone()
        done = step(self, state, *args)
        moved = not torch.equal(before, next(self.module.parameters()))
        states.append((state.loss_scale, state.steady_steps))
        assert moved == (len(states) > 1)
        return done

    monkeypatch.setattr(loop.Fit, "_step", spy)
    recipe = tiny("model.head=linear", "train.precision=fp16", "train.epochs=1", "train.max_steps=2")
    train(photos, recipe, tmp_path / "run", device="cpu")
    assert states == [(2.0**15, 0), (2.0**15, 1)]


CUT = {"frozen": True, "unfrozen_stages": 2}


@pytest.mark.parametrize(
    ("backbone", "model"),
    [("test_vit", {}), ("test_convnext", {}), ("test_vit", CUT), ("test_convnext", CUT)],
)
def test_checkpointing_keeps_less_and_gives_the_same_gradients(backbone: str, model: dict[str, Any]) -> None:
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))

    def run(*, checkpointing: bool) -> tuple[dict[str, torch.Tensor], int]:
        whole = network(backbone, stochastic_depth=0.2, **model)
        trained = FeatureNetwork(whole) if model else whole
        shape_network(whole, trained, TrainOptions(checkpointing=checkpointing))
        inputs = whole.features(pixels).detach() if model else pixels
        trained.train()
        kept: set[int] = set()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept.add(tensor.untyped_storage().data_ptr())
            return tensor

        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = trained(inputs)
        # What is recomputed is kept while it is used; before that, less is.
        count = len(kept)
        logits.square().sum().backward()
        return {name: item.grad for name, item in trained.named_parameters() if item.grad is not None}, count

    (plain, all_kept), (again, fewer) = run(checkpointing=False), run(checkpointing=True)
    assert fewer < all_kept
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_checkpointing_is_refused_where_it_would_change_the_result() -> None:
    whole = network("test_resnet")
    with pytest.raises(UserError, match=r"train\.checkpointing .* count each batch twice; set model\.batchnorm=eval"):
        shape_network(whole, whole, TrainOptions(checkpointing=True))
    shape_network(whole := network("test_resnet", batchnorm="eval"), whole, TrainOptions(checkpointing=True))


def test_checkpointing_is_refused_where_nothing_of_the_backbone_is_trained(
    photos: Path, tiny: Build, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"train\.checkpointing is True, but with model\.frozen=true nothing"):
        train(photos, tiny("model.frozen=true", "train.checkpointing=true"), tmp_path / "run", device="cpu")


def test_channels_last_lays_out_convolutions_and_is_resumed_bit_for_bit(
    photos: Path, tiny: Build, tmp_path: Path
) -> None:
    changes = ("model.backbone=test_resnet", "model.batchnorm=eval", "model.head=linear", "train.epochs=1")
    last = tiny(*changes, "train.channels_last=true")
    train(photos, tiny(*changes), tmp_path / "plain", device="cpu")
    train(photos, last, tmp_path / "last", device="cpu")
    plain, ours = weights(tmp_path / "plain"), weights(tmp_path / "last")
    for name, tensor in plain.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    with pytest.raises(Stopped):
        train(photos, last, tmp_path / "stopped", device="cpu", stop=StopAtOnce())
    resume(tmp_path / "stopped", device="cpu")
    again = weights(tmp_path / "stopped")
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_channels_last_is_refused_for_a_transformer() -> None:
    whole = network("test_vit")
    with pytest.raises(UserError, match=r"train\.channels_last: 'test_vit' is no convolution network"):
        shape_network(whole, whole, TrainOptions(channels_last=True))
    whole = network("test_resnet")
    shape_network(whole, whole, TrainOptions(channels_last=True))
    weight = next(
        module.weight for module in whole.modules() if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1
    )
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.long
def test_compiled_training_is_the_same_training(photos: Path, tiny: Build, tmp_path: Path) -> None:
    changes = ("model.frozen=true", "features.cache=true", "model.head=linear", "train.epochs=1")
    train(photos, tiny(*changes), tmp_path / "eager", device="cpu")
    train(photos, tiny(*changes, "train.compile=true"), tmp_path / "compiled", device="cpu")
    eager, compiled = weights(tmp_path / "eager"), weights(tmp_path / "compiled")
    assert eager.keys() == compiled.keys()
    for name, tensor in eager.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    assert np.isfinite(float(losses(tmp_path / "compiled")[0]))
