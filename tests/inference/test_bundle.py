import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gingham.data.test_time import TestTime
from gingham.errors import BundleError, MachineError, SchemaError
from gingham.inference import save as module
from gingham.inference.bundle import bundle_path, open_bundle
from gingham.inference.member import Member
from gingham.storage import MANIFEST, sha256_file, write_manifest
from gingham.tensors import load_tensors, save_tensors
from tests import tiny


def test_a_saved_network_gives_the_same_logits(model: Path) -> None:
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = tiny.network()(pixels)
        loaded = open_bundle(model).network()(pixels)
    assert torch.equal(loaded, expected)
    assert expected.std(dim=0).mean() > 1e-2  # or nothing here would compare anything


def test_a_bundle_says_what_it_is(model: Path) -> None:
    opened = open_bundle(model)
    assert opened.schema == tiny.SCHEMA
    assert opened.only.preprocess == tiny.preprocess()
    assert opened.only.model == tiny.MODEL
    assert opened.trained == tiny.TRAINED
    assert opened.hash == sha256_file(model / MANIFEST)
    assert {file.name for file in model.iterdir()} == {
        "config.json",
        "schema.json",
        "preprocess.json",
        "model.safetensors",
        "README.md",
        MANIFEST,
    }


def test_who_may_read_one_file_may_read_all(model: Path) -> None:
    assert len({file.stat().st_mode for file in model.iterdir()}) == 1


def test_a_loaded_network_is_in_evaluation_mode(model: Path) -> None:
    assert not any(part.training for part in open_bundle(model).network().modules())


def test_a_run_stands_for_its_best(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "run")
    assert bundle_path(run) == run / "best"
    assert open_bundle(run).hash == open_bundle(run / "best").hash


def test_other_weights_have_another_hash(model: Path, tmp_path: Path) -> None:
    assert open_bundle(tiny.bundle(tmp_path / "other", seed=1)).hash != open_bundle(model).hash
    assert open_bundle(tiny.bundle(tmp_path / "same", seed=0)).schema == open_bundle(model).schema


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing: no such folder; MODEL is a bundle or the --out folder"):
        bundle_path(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"neither a bundle \(no config.json\) nor a run"):
        bundle_path(tmp_path)
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(BundleError, match=r"a run that has no model yet.*--resume"):
        bundle_path(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "schema.json", "preprocess.json", "model.safetensors", "README.md"])
def test_a_flipped_bit_is_found(model: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    data = bytearray((spoilt / name).read_bytes())
    data[len(data) // 2] ^= 1
    (spoilt / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=rf"{name}: its SHA-256 differs from manifest.json.*copy it again"):
        open_bundle(spoilt)


@pytest.mark.parametrize("name", ["schema.json", "preprocess.json", "model.safetensors", MANIFEST])
def test_a_missing_file_is_named(model: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_bundle(spoilt)


def test_a_link_in_a_bundle_is_refused(model: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / "model.safetensors").rename(tmp_path / "elsewhere")
    (spoilt / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="points outside the folder"):
        open_bundle(spoilt)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_manifest_must_vouch_for_every_file_that_is_read(model: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    manifest = json.loads((spoilt / MANIFEST).read_text())
    del manifest["sha256"][name]
    (spoilt / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=f"it does not list {name}"):
        open_bundle(spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config | {"format": 5, "gingham": "9.0"}, "written by Gingham 9.0, format 5; upgrade Gingham"),
        (lambda config: config | {"runtime": "onnx"}, "runtime 'onnx'"),
        (lambda config: config | {"members": ["a.safetensors"]}, "members"),
        (lambda config: {"format": 1}, "not the configuration of a bundle"),
        (lambda config: [config], "not the configuration of a bundle"),
        (lambda config: config | {"format": "1"}, "not the configuration of a bundle"),
        (lambda config: config | {"trained": 3}, "not the configuration of a bundle"),
        (lambda config: config | {"model": {"bakbone": "x"}}, "config.json: unknown field 'bakbone'.*'backbone'"),
    ],
)
def test_a_wrong_configuration_is_refused(
    model: Path, tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps(change(config)))
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=message):
        open_bundle(spoilt)


def test_a_wrong_schema_or_preprocessing_is_refused(model: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / "preprocess.json").write_text('{"size": "large"}')
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=r"preprocess.json: size: .*got 'large'"):
        open_bundle(spoilt)
    (spoilt / "preprocess.json").write_text('{"size": 64}')
    write_manifest(spoilt)
    with pytest.raises(BundleError, match="mean and std are missing"):
        open_bundle(spoilt).network()
    (spoilt / "schema.json").write_text('{"pattern": 3}')
    write_manifest(spoilt)
    with pytest.raises(SchemaError, match=r"schema.json: attribute 'pattern'"):
        open_bundle(spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("head.queries"), "tensor 'head.queries' is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "tensor 'extra' has no place in this model"),
        (lambda tensors: tensors.update({"head.queries": torch.zeros(2, 2)}), r"shape \(2, 2\), expected F32"),
        (lambda tensors: tensors["head.queries"].fill_(float("nan")), "values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    model: Path, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    tensors = load_tensors(spoilt / "model.safetensors")
    change(tensors)
    save_tensors(spoilt / "model.safetensors", tensors)
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=message):
        open_bundle(spoilt).network()


def test_a_folder_of_format_1_is_read(tmp_path: Path) -> None:
    """Written by hand, as the first version wrote it: `recipe.test_time` and members of their own were not known."""
    folder = tmp_path / "old"
    folder.mkdir()
    network = tiny.network()
    save_tensors(folder / "model.safetensors", network.state_dict())
    query2label = {"width": 16, "ffn": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.3}
    model = {"backbone": "test_resnet", "weights": "none", "head": "query2label", "frozen": False}
    documents = {
        "config.json": {
            "format": 1,
            "gingham": "0.1.0",
            "runtime": "torch",
            "members": ["model.safetensors"],
            "model": {**model, "batchnorm": "train", "query2label": query2label, "linear": {"dropout": 0.0}},
            "data": {"image_column": "file", "val_fraction": 0.3},
            "trained": {"epoch": 3, "metrics": None},
        },
        "schema.json": {attribute.name: list(attribute.classes) for attribute in tiny.SCHEMA.attributes},
        "preprocess.json": {
            "size": 64,
            "resize": "squash",
            "interpolation": "bicubic",
            "region": "box",
            "box_margin": 0.2,
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.3, 0.2],
        },
    }
    for name, content in documents.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "README.md").write_text("A tagger.")
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"sha256": sums}))

    bundle = open_bundle(folder)
    assert bundle.members == (bundle.only,)
    assert bundle.only.model == tiny.MODEL
    assert bundle.only.preprocess == tiny.preprocess("box").model_copy(update={"box_margin": 0.2})
    assert bundle.only.test_time == TestTime()
    assert (bundle.data.image_column, bundle.data.val_fraction) == ("file", 0.3)
    assert bundle.trained["epoch"] == 3
    pixels = torch.full((1, 64, 64, 3), 90, dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(bundle.network()(pixels), network(pixels))


def test_one_network_in_one_view_stays_readable_to_the_first_version(model: Path, tmp_path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    assert (config["format"], config["members"]) == (1, ["model.safetensors"])
    assert set(config) == {"format", "gingham", "runtime", "members", "model", "data", "trained"}
    views = tiny.bundle(tmp_path / "views", region="box", test_time=TestTime(flip=True, whole_image=True))
    config = json.loads((views / "config.json").read_text())
    assert config["format"] == 2
    (member,) = config["members"]
    assert member["weights"] == "model.safetensors"
    assert member["test_time"] == {"flip": True, "scales": [1.0], "whole_image": True}
    assert set(config) == {"format", "gingham", "runtime", "members", "data", "trained"}
    assert not (views / "preprocess.json").exists()
    bundle = open_bundle(views)
    assert bundle.only == Member(
        model=tiny.MODEL, preprocess=tiny.preprocess("box"), test_time=TestTime(flip=True, whole_image=True)
    )
    bundle.network()


def test_a_failed_write_leaves_the_older_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.bundle(tmp_path / "m")
    before = open_bundle(path).hash

    def full(*arguments: object) -> None:
        raise MachineError("the disk is full")

    monkeypatch.setattr(module, "save_tensors", full)
    with pytest.raises(MachineError):
        tiny.bundle(path, seed=1)
    assert open_bundle(path).hash == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]
