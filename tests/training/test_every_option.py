"""No option is parsed and ignored: each field of a recipe, set off its default, changes what the run is made of."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers.drop import DropPath
from torch import nn

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.errors import DataError, UserError
from gingham.options import field_names
from gingham.progress import Reporter
from gingham.training import loop, run
from gingham.training.intake import Rules
from gingham.training.interrupt import Stop
from gingham.training.measure import predict_validation
from gingham.training.optim import learning_rate_at
from gingham.training.parts import prepare
from gingham.training.recipe import Recipe
from gingham.training.run import _Run, train

Build = Callable[..., Recipe]


@dataclass(frozen=True)
class _Case:
    change: str
    base: tuple[str, ...] = ()


_CACHED = ("model.frozen=true", "features.cache=true")
_POOL = ("model.head=attention_pool",)

_MODEL = {
    "preprocess.size": _Case("48"),
    "preprocess.resize": _Case("pad"),
    "preprocess.interpolation": _Case("lanczos"),
    "preprocess.region": _Case("box"),
    "preprocess.box_margin": _Case("0.5", ("preprocess.region=box",)),
    "preprocess.mean": _Case("[0.1, 0.2, 0.3]"),
    "preprocess.std": _Case("[0.1, 0.2, 0.3]"),
    "test_time.flip": _Case("true"),
    "test_time.scales": _Case("[1, 1.2]"),
    "test_time.whole_image": _Case("true", ("preprocess.region=box",)),
    "augment.resize": _Case("80"),
    "augment.whole_image": _Case("0.5", ("preprocess.region=box",)),
    "augment.crop_area": _Case("[0.5, 1]", ("augment.resize=null",)),
    "augment.crop_ratio": _Case("[0.5, 2]", ("augment.resize=null", "augment.crop_area=[0.3, 1]")),
    "augment.horizontal_flip": _Case("0"),
    "augment.brightness": _Case("0.3"),
    "augment.contrast": _Case("0.3"),
    "augment.saturation": _Case("0.3"),
    "augment.hue": _Case("0.3"),
    "augment.rotation": _Case("10"),
    "augment.trivial_augment": _Case("true"),
    "augment.erasing": _Case("0.5"),
    "augment.erasing_area": _Case("[0.5, 0.6]", ("augment.erasing=1",)),
    "augment.erasing_ratio": _Case("[1, 1]", ("augment.erasing=1",)),
    "mix.mixup": _Case("0.2"),
    "mix.cutmix": _Case("1"),
    "mix.switch": _Case("0.9", ("mix.mixup=1", "mix.cutmix=1", "mix.mode=element")),
    "mix.probability": _Case("0.5", ("mix.mixup=1",)),
    "mix.mode": _Case("element", ("mix.mixup=1",)),
    "model.backbone": _Case("test_resnet"),
    "model.weights": _Case("package", ("model.backbone=tf_efficientnet_lite0",)),
    "model.maps": _Case("2"),
    "model.head": _Case("linear"),
    "model.frozen": _Case("true"),
    "model.unfrozen_stages": _Case("1", ("model.frozen=true",)),
    "model.batchnorm": _Case("eval", ("model.backbone=test_resnet",)),
    "model.stochastic_depth": _Case("0.3"),
    "model.query2label.width": _Case("16"),
    "model.query2label.ffn": _Case("48"),
    "model.query2label.heads": _Case("2"),
    "model.query2label.encoder_layers": _Case("0"),
    "model.query2label.decoder_layers": _Case("1"),
    "model.query2label.self_attention": _Case("true"),
    "model.query2label.dropout": _Case("0.1"),
    "model.attention_pool.queries": _Case("3", _POOL),
    "model.attention_pool.width": _Case("32", _POOL),
    "model.attention_pool.heads": _Case("2", _POOL),
    "model.attention_pool.dropout": _Case("0.3", _POOL),
    "model.linear.dropout": _Case("0.5", ("model.head=linear",)),
    "features.cache": _Case("true", ("model.frozen=true",)),
    "features.runtime": _Case("openvino", _CACHED),
    "features.views": _Case("2", _CACHED),
    "features.view_seed": _Case("1", _CACHED),
    "loss.name": _Case("focal"),
    "loss.gamma": _Case("1", ("loss.name=focal",)),
    "loss.alpha": _Case("0.5", ("loss.name=focal",)),
    "loss.tau": _Case("0.5", ("loss.name=balanced_softmax",)),
    "loss.margin": _Case("2", ("loss.name=ldam",)),
    "loss.q": _Case("0.5", ("loss.name=generalised_cross_entropy",)),
    "loss.class_weights": _Case("{hue: {red: 3}}"),
    "loss.beta": _Case("0.5", ("loss.class_weights=effective_number",)),
    "loss.deferred_from": _Case("2"),
    "loss.attribute_weights": _Case("learned"),
    "loss.label_smoothing": _Case("0.1"),
    "train.seed": _Case("1"),
    "train.epochs": _Case("3"),
    "train.max_steps": _Case("2"),
    "train.batch_size": _Case("7"),
    "train.optimizer": _Case("adam"),
    "train.learning_rate": _Case("0.5"),
    "train.betas": _Case("[0.5, 0.6]"),
    "train.epsilon": _Case("0.1"),
    "train.weight_decay": _Case("0.1"),
    "train.decayed": _Case("weights"),
    "train.backbone_rate": _Case("0.5"),
    "train.layer_decay": _Case("0.5"),
    "train.repeat_rare": _Case("0.9"),
    "train.schedule": _Case("constant"),
    "train.warmup_steps": _Case("2"),
}


def _digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def _made_of(photos: Path, recipe: Recipe, out: Path) -> dict[str, Any]:
    """What a run is made of, before its first step."""
    run = _Run(out, prepare(photos, recipe, None, Rules(), "cpu", Reporter(), lambda intake: None))
    made = run.parts
    one = replace(made, val_table=made.val_table.take([0]))
    network = made.network.train()
    modules = list(network.modules())
    fit = run.loop(Stop())
    targets = torch.from_numpy(made.train_table.targets[:4])
    soft, mask = loop.soft_targets(targets, made.train_table.schema)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, made.train_table.schema.total, generator=generator)
    return {
        "weights": {name: _digest(tensor.numpy()) for name, tensor in network.state_dict().items()},
        "statistics": [network.mean.tolist(), network.std.tolist()],
        "trained": sum(item.numel() for item in made.module.parameters() if item.requires_grad),
        "dropout": [item.p for item in modules if isinstance(item, nn.Dropout)],
        "branches": [item.drop_prob for item in modules if isinstance(item, DropPath)],
        "heads": [item.num_heads for item in modules if isinstance(item, nn.MultiheadAttention)],
        "batchnorm": [item.training for item in modules if isinstance(item, nn.BatchNorm2d)],
        "optimizer": [made.optimizer.__class__.__name__, made.optimizer.defaults],
        "rates": [learning_rate_at(step, fit.total_steps, recipe.train) for step in range(fit.total_steps)],
        "inputs": [_digest(made.inputs.train(epoch, np.arange(6))) for epoch in range(3)],
        "val": _digest(made.inputs.val(np.arange(3))),
        "mixed": [_digest(fit._load(0, step, np.arange(6), np.arange(6))[1]) for step in range(4)],
        "order": fit.order(0).tolist(),
        "steps": fit.steps_per_epoch,
        "loss": made.loss(logits, soft, mask, made.loss.denominators(soft, mask, 0), 0).total.item(),
        "own": [name for name, _ in made.loss.named_parameters()],
        "groups": [(len(group["params"]), group["lr_scale"]) for group in made.optimizer.param_groups],
        # Last, as it sets the network to evaluation.
        "measured": _digest(predict_validation(one, from_features=False).logits),
    }


@pytest.fixture(scope="module")
def boxed(photos: Path) -> Path:
    """The photos, with boxes."""
    header, *lines = (photos / "labels.csv").read_text().splitlines()
    table = photos / "boxed.csv"
    table.write_text("\n".join([f"{header},x1,y1,x2,y2", *(f"{line},20,10,50,50" for line in lines)]))
    return table


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], dict[str, Any]]:
    """What runs are made of from which many cases start."""
    return {}


@pytest.mark.parametrize("field", _MODEL)
def test_a_field_changes_what_the_run_is_made_of(
    boxed: Path,
    tiny: Build,
    tmp_path: Path,
    field: str,
    known: dict[tuple[str, ...], dict[str, Any]],
    recwarn: pytest.WarningsRecorder,
) -> None:
    case = _MODEL[field]
    if case.base not in known:
        known[case.base], again = (_made_of(boxed, tiny(*case.base), tmp_path / name) for name in ("one", "again"))
        assert known[case.base] == again, "the comparison is of things that do not change by themselves"
    assert _made_of(boxed, tiny(*case.base, f"{field}={case.change}"), tmp_path / "changed") != known[case.base]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A table in which every option about tables has something to choose from."""
    folder = tmp_path_factory.mktemp("rich")
    header = "image,picture,hue,tone,split,part,x1,y1,x2,y2,a,b,c,d"
    rows = [
        f"{n:02d}.png,{(n + 1) % 36:02d}.png,{('red', 'blue', 'green')[n % 3]},{('dark', 'light')[n // 3 % 2]},"
        f"{'val' if n % 4 == 0 else 'train'},{'val' if n % 5 == 0 else 'train'},1,1,9,9,2,2,8,8"
        for n in range(36)
    ]
    (folder / "with.csv").write_text("\n".join([header, *rows]))
    without = [",".join(part for i, part in enumerate(line.split(",")) if i not in (4, 5)) for line in [header, *rows]]
    (folder / "without.csv").write_text("\n".join(without))
    (folder / "schema.yaml").write_text("tone: [light, dark]\nhue: [red, green, blue]\n")
    (folder / "linked").symlink_to(photos)
    for file in photos.glob("*.png"):
        (folder / file.name).symlink_to(file)
    return folder


_NAMED = {"attributes": ["hue", "tone"]}
_OTHERS = ["picture", "part", "a", "b", "c", "d"]

_DATA: dict[str, tuple[str, dict[str, Any], Any]] = {
    "data.schema_file": ("with.csv", _NAMED, "schema.yaml"),
    "data.image_column": ("with.csv", _NAMED, "picture"),
    "data.attributes": ("with.csv", _NAMED, ["tone"]),
    "data.ignore_columns": ("with.csv", {"ignore_columns": _OTHERS}, [*_OTHERS, "tone"]),
    "data.unlabelled": ("with.csv", _NAMED, ["red"]),
    "data.split_column": ("with.csv", _NAMED, "part"),
    "data.box_columns": ("with.csv", _NAMED, ["a", "b", "c", "d"]),
    "data.image_root": ("with.csv", _NAMED, "linked"),
    "data.val_fraction": ("without.csv", _NAMED, 0.4),
    "data.split_seed": ("without.csv", _NAMED, 5),
    "data.folds": ("with.csv", _NAMED, 4),
    "data.fold": ("with.csv", {**_NAMED, "folds": 3}, 1),
}


@pytest.mark.parametrize("field", _DATA)
def test_a_field_changes_how_labels_are_read(rich: Path, field: str) -> None:
    file, base, value = _DATA[field]

    def read(options: dict[str, Any]) -> list[Any]:
        table = read_labels(rich / file, DataOptions.parse(options))
        boxes = None if table.boxes is None else table.boxes.tolist()
        return [table.schema.fingerprint, table.images, table.targets.tolist(), table.splits, boxes, table.root]

    name = field.removeprefix("data.")
    changed = {**base, name: str(rich / value) if name in ("schema_file", "image_root") else value}
    assert read(base) == read(base)
    assert read(base) != read(changed)


def test_workers_accumulation_precision_clipping_and_kept_checkpoints(
    photos: Path, tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What shows only while a run goes on."""
    seen: list[tuple[int, int]] = []
    precise: list[bool] = []
    real, autocast = loop.prefetch, torch.autocast

    def spy(tasks: Any, load: Any, *, workers: int, depth: int) -> Any:
        tasks = list(tasks)
        seen.append((workers, len(tasks)))
        return real(tasks, load, workers=workers, depth=depth)

    def spy_autocast(device: str, *, dtype: torch.dtype, enabled: bool) -> Any:
        precise.append(enabled)
        return autocast(device, dtype=dtype, enabled=enabled)

    monkeypatch.setattr(loop, "prefetch", spy)
    monkeypatch.setattr(torch, "autocast", spy_autocast)

    def trace(*changes: str) -> dict[str, Any]:
        seen.clear()
        precise.clear()
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        train(photos, tiny("train.learning_rate=1e-2", *changes), out, device="cpu")
        names = sorted(path.name for path in (out / "checkpoints").iterdir())
        losses = [line.split(",")[3] for line in (out / "history.csv").read_text().splitlines()]
        return {"prefetch": list(seen), "bf16": set(precise), "checkpoints": names, "losses": losses}

    base = trace("train.epochs=4")
    assert base == trace("train.epochs=4")
    assert trace("train.epochs=4", "train.workers=2")["prefetch"] != base["prefetch"]
    assert trace("train.epochs=4", "train.accumulation=2")["prefetch"] != base["prefetch"]
    assert trace("train.epochs=4", "train.keep_checkpoints=4")["checkpoints"] != base["checkpoints"]
    assert trace("train.epochs=4", "train.clip_norm=1e-3")["losses"] != base["losses"]
    assert trace("train.epochs=1", "train.max_steps=1", "train.precision=bf16")["bf16"] == {True}


def test_the_cache_limit_is_kept(photos: Path, tiny: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"features\.limit_gb"):
        run.train(photos, tiny(*_CACHED, "features.limit_gb=1e-9"), tmp_path / "run")


def test_images_beyond_the_limit_are_refused(photos: Path, tiny: Build, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"00\.png \(too_large\)"):
        run.train(photos, tiny("data.max_pixels=4095"), tmp_path / "run")


def test_every_field_is_tested() -> None:
    elsewhere = {
        "data.max_pixels",
        "train.workers",
        "train.accumulation",
        "train.precision",
        "train.matmul",  # tests/training/test_arithmetic.py, and so the next three
        "train.channels_last",
        "train.checkpointing",
        "train.compile",
        "train.clip_norm",
        "train.keep_checkpoints",
        "train.choose",  # tests/training/test_choose.py
        "train.ema",  # tests/training/test_ema.py
        "train.patience",  # tests/training/test_patience.py
        "features.limit_gb",
        "mix.level",  # tests/training/test_mixed_run.py
        "members",  # tests/training/test_ensemble.py
    }
    assert sorted({*_MODEL, *_DATA, *elsewhere}) == sorted(field_names(Recipe))
