import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from gingham.errors import RecipeError, WeightsError
from gingham.models.tensors import read_tensors, state_hash
from gingham.models.weights import input_statistics, load_backbone


@pytest.fixture
def classifier() -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model("test_resnet", pretrained=False)
    return model


def save(state: dict[str, Tensor], path: Path) -> str:
    safetensors.torch.save_file(state, path)
    return str(path)


def same(found: torch.nn.Module, expected: dict[str, Tensor]) -> bool:
    state = found.state_dict()
    return bool(state) and all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


def test_none_is_random_with_the_statistics_of_timm() -> None:
    loaded = load_backbone("test_resnet", "none", image_size=64)
    other = load_backbone("test_resnet", "none", image_size=64)
    config = timm.models.get_pretrained_cfg("test_resnet").to_dict()
    assert (loaded.mean, loaded.std) == (tuple(config["mean"]), tuple(config["std"]))
    assert loaded.weights_hash != other.weights_hash


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_a_file_of_a_classifier(tmp_path: Path, classifier: torch.nn.Module, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = classifier.state_dict()
    if suffix == ".safetensors":
        save(state, path)
    else:
        torch.save(state, path)
    loaded = load_backbone("test_resnet", str(path), image_size=64)
    assert same(loaded.model, state)
    assert loaded.weights_hash == state_hash({key: state[key] for key in loaded.model.state_dict()})


def test_a_file_without_classifier(tmp_path: Path, classifier: torch.nn.Module) -> None:
    state = {key: tensor for key, tensor in classifier.state_dict().items() if not key.startswith("fc.")}
    assert same(load_backbone("test_resnet", save(state, tmp_path / "w.safetensors"), image_size=64).model, state)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "state_dict_ema"])
def test_a_training_checkpoint_is_unwrapped(tmp_path: Path, classifier: torch.nn.Module, wrap: str) -> None:
    state = classifier.state_dict()
    torch.save({wrap: {f"module.{key}": tensor for key, tensor in state.items()}, "epoch": 3}, tmp_path / "c.pth")
    assert same(load_backbone("test_resnet", str(tmp_path / "c.pth"), image_size=64).model, state)


@pytest.mark.filterwarnings("ignore:torch.searchsorted", "ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_embeddings_are_resized_as_timm_does(tmp_path: Path, name: str) -> None:
    path = save(timm.create_model(name, pretrained=False).state_dict(), tmp_path / "w.safetensors")
    size = (96, 128)
    overlay = {"file": path}
    expected = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, global_pool="", img_size=size
    )
    assert same(load_backbone(name, path, image_size=size).model, expected.state_dict())


def test_a_norm_after_pooling_is_kept(tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", pretrained=False, global_pool="avg")
    with torch.no_grad():
        source.fc_norm.weight.fill_(3.0)
    state = source.state_dict()
    assert "norm.weight" not in state
    loaded = load_backbone("vit_tiny_patch16_224", save(state, tmp_path / "w.safetensors"), image_size=224)
    assert torch.equal(loaded.model.state_dict()["norm.weight"], state["fc_norm.weight"])


def test_missing_and_extra_keys_are_named(tmp_path: Path, classifier: torch.nn.Module) -> None:
    state = classifier.state_dict()
    del state["conv1.0.weight"]
    state["layer9.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", save(state, tmp_path / "w.safetensors"), image_size=64)
    assert "they lack 'conv1.0.weight' and have besides 'layer9.weight'" in str(caught.value)
    assert "w.safetensors" in str(caught.value)


def test_another_shape_is_named(tmp_path: Path, classifier: torch.nn.Module) -> None:
    state = classifier.state_dict()
    state["conv1.0.weight"] = torch.zeros(1, 3, 3, 3)
    with pytest.raises(WeightsError, match=r"'conv1.0.weight' has shape \(1, 3, 3, 3\)"):
        load_backbone("test_resnet", save(state, tmp_path / "w.safetensors"), image_size=64)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"])
def test_weights_of_another_model_are_refused(tmp_path: Path, classifier: torch.nn.Module, name: str) -> None:
    path = save(classifier.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_backbone(name, path, image_size=224)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match="'hubb' is none of hub, package, none, and there is no such file"):
        load_backbone("test_resnet", "hubb", image_size=64)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("w.safetensors", b"garbage", "not a readable safetensors file"),
        ("w.pth", b"garbage", "not read"),
        ("w.pth", b"", "not a readable PyTorch file"),
        ("w.npz", b"", "unknown kind of weights file '.npz'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=expected) as caught:
        read_tensors(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path, classifier: torch.nn.Module) -> None:
    path = tmp_path / "w.pth"
    torch.save(classifier.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(WeightsError, match=r"w\.pth: not a readable PyTorch file"):
        read_tensors(path)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "w.pth")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        read_tensors(Path("w.pth"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("content", "expected"), [([1, 2], "but list"), ({"a": 1}, "'a' is no tensor but int"), ({}, "dict")]
)
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: object, expected: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=expected):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_as_timm_saves_it(tmp_path: Path, classifier: torch.nn.Module, safe: bool) -> None:
    timm.models._hub.save_for_hf(classifier, str(tmp_path), safe_serialization=safe)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"]["std"] = [0.4, 0.5, 0.6]
    config["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_backbone("test_resnet", str(tmp_path), image_size=64)
    assert same(loaded.model, classifier.state_dict())
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert input_statistics("test_resnet", str(tmp_path)) == (loaded.mean, loaded.std)
    # timm's own way to read such a folder gives the same.
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=0, global_pool="")
    assert same(loaded.model, again.state_dict())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "config.json: no such file; a folder of weights holds it"),
        ({"architecture": "resnet18", "pretrained_cfg": {}}, "of 'resnet18', but model.backbone is 'test_resnet'"),
        ([], "of 'None'"),
        ({"architecture": "test_resnet", "pretrained_cfg": {"mean": [1]}}, "three numbers each"),
        ({"architecture": "test_resnet", "mean": [0, 0, 0], "std": [0, 1, 1]}, "must be above 0"),
        ({"architecture": "test_resnet", "mean": [0, 0, 0], "std": [1, 1, 1]}, "none of the weights files"),
    ],
)
def test_a_wrong_folder_is_refused(tmp_path: Path, config: object, expected: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=expected):
        load_backbone("test_resnet", str(tmp_path), image_size=64)


def test_an_unknown_backbone_comes_first() -> None:
    with pytest.raises(RecipeError, match="did you mean"):
        load_backbone("test_resnett", "hub", image_size=64)


def test_the_hash_is_of_names_types_shapes_and_numbers() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1), "c": torch.ones(3, dtype=torch.bfloat16)}
    same_numbers = {"c": state["c"].clone(), "b": state["b"], "a": state["a"].t().contiguous().t()}
    assert state_hash(state) == state_hash(same_numbers)
    changes = [
        {**state, "a": state["a"] + 1e-6},
        {**state, "a": state["a"].reshape(3, 2)},
        {**state, "b": torch.tensor(1, dtype=torch.int32)},
        {**state, "c": torch.ones(3, dtype=torch.float16)},
        {("A" if key == "a" else key): tensor for key, tensor in state.items()},
        {"a": state["a"], "b": state["b"]},
    ]
    assert len({state_hash(state), *(state_hash(change) for change in changes)}) == len(changes) + 1
