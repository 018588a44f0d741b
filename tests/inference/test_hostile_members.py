"""Ensembles from strangers: checked as strictly as a bundle of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gingham.data.test_time import TestTime
from gingham.errors import BundleError
from gingham.inference import networks as module
from gingham.inference.bundle import open_bundle
from gingham.inference.join import join_bundles
from gingham.inference.member import Member
from gingham.inference.networks import check_weights, structure_of
from gingham.storage import MANIFEST, write_manifest
from gingham.tensors import load_tensors, save_tensors
from tests import tiny
from tests.hostile import changed_bundle


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, the second with views of its own."""
    folder = tmp_path_factory.mktemp("pair")
    parts = [tiny.bundle(folder / "a"), tiny.bundle(folder / "b", seed=1, test_time=TestTime(flip=True))]
    join_bundles(parts, folder / "ab")
    return folder / "ab"


def second_with(**fields: object) -> Callable[[Any], Any]:
    return lambda config: config | {"members": [config["members"][0], {**config["members"][1], **fields}]}


def members(change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    return lambda config: config | {"members": change(config["members"])}


def without(name: str) -> Callable[[Any], Any]:
    return members(lambda every: [every[0], {key: value for key, value in every[1].items() if key != name}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (members(lambda every: []), "its members are not known here"),
        (members(lambda every: {"0": every[0]}), "its members are not known here"),
        (members(lambda every: every * 40), "its members are not known here"),
        (members(lambda every: [every[0], "member-2.safetensors"]), "not the configuration of a bundle"),
        (members(lambda every: [every[0], None]), "not the configuration of a bundle"),
        (members(lambda every: every[:1]), "does not list model.safetensors"),
        (members(lambda every: [*every, every[0]]), "does not list member-3.safetensors"),
        (members(lambda every: every[::-1]), "members.0.weights: expected 'member-1.safetensors', got 'member-2"),
        (second_with(weights="member-1.safetensors"), "members.1.weights: expected 'member-2.safetensors', got"),
        (second_with(weights="../../secret.safetensors"), "members.1.weights: expected 'member-2.safetensors', got"),
        (second_with(weights="x" * 10**6), "members.1.weights: expected 'member-2.safetensors', got"),
        (second_with(code="evil.py"), "members.1: unknown field 'code'"),
        (second_with(name=["a"]), "members.1: name: .*valid string"),
        (second_with(name="n" * 5000), "members.1: name: .*at most 4096 characters"),
        (second_with(test_time={"scales": [1.0] * 1000}), "members.1: test_time.scales: .*at most 8 items"),
        (second_with(test_time={"scales": [1e-9]}), "members.1: test_time.scales.0: "),
        (second_with(test_time={"flipp": True}), "members.1: unknown field 'test_time.flipp'"),
        (second_with(preprocess={"size": 10**9}), "members.1: preprocess.size: .*less than or equal to 4096"),
        (second_with(preprocess={"size": 64}), "mean and std are missing"),
        (second_with(model={"backbone": "hf-hub:evil/model", "weights": "none"}), "timm has no model"),
        (second_with(model={"bakbone": "x"}), "members.1: unknown field 'model.bakbone'"),
        (second_with(model={"backbone": "resnet18"}), r"member-2.*tensor '.*' (is missing|has no place)"),
        (without("model"), "members.1: model: Field required"),
        (without("preprocess"), "members.1: preprocess: Field required"),
        (lambda config: config | {"format": 1}, "members are not known here"),
        (lambda config: config | {"runtime": "onnx"}, "runtime 'onnx'"),
        (lambda config: config | {"format": 5}, "format 5; upgrade Gingham"),
        (lambda config: config | {"format": 0}, "not known here"),
    ],
)
def test_wrong_members_are_refused(
    pair: Path, tmp_path: Path, change: Callable[[Any], Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one line, before any weights are read."""
    spoilt = changed_bundle(pair, tmp_path / "m", config=change)

    def read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(module, "load_tensors", read)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(spoilt).networks()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("number", [1, 2])
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
    pair: Path, tmp_path: Path, number: int, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    spoilt = tiny.copied(pair, tmp_path / "m")
    tensors = load_tensors(spoilt / f"member-{number}.safetensors")
    change(tensors)
    save_tensors(spoilt / f"member-{number}.safetensors", tensors)
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=f"member-{number}.safetensors: .*{message}"):
        open_bundle(spoilt).networks()


@pytest.mark.parametrize("name", ["config.json", "schema.json", "member-1.safetensors", "member-2.safetensors"])
def test_a_manifest_must_vouch_for_every_file_that_is_read(pair: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(pair, tmp_path / "m")
    manifest = json.loads((spoilt / MANIFEST).read_text())
    del manifest["sha256"][name]
    (spoilt / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=f"it does not list {name}"):
        open_bundle(spoilt)


@pytest.mark.parametrize("name", ["preprocess.json", "model.safetensors", "member-3.safetensors"])
def test_a_manifest_lists_no_file_that_nobody_reads(pair: Path, tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(pair, tmp_path / "m")
    (spoilt / name).write_text("{}")
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=f"it lists {name}, of which config.json knows nothing"):
        open_bundle(spoilt)


def test_members_share_what_is_forgiven_beyond_their_weights(tmp_path: Path) -> None:
    """Positions of 64 x 64 cells take 4 MB beyond the weights: little for one network, but not 64 times."""
    head = tiny.MODEL.query2label.model_copy(update={"width": 256, "ffn": 1, "encoder_layers": 0})
    member = Member(
        model=tiny.MODEL.model_copy(update={"query2label": head}),
        preprocess=tiny.preprocess().model_copy(update={"size": 2048}),
    )
    structure = structure_of(member, tmp_path, tiny.SCHEMA)
    tensors = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in structure.state_dict().items()}
    save_tensors(tmp_path / member.weights, tensors)
    check_weights(member, tmp_path, tiny.SCHEMA)
    with pytest.raises(BundleError, match=r"images of 2048 pixels .* far more than its weights; refused"):
        check_weights(member, tmp_path, tiny.SCHEMA, members=64)
