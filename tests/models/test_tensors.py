"""Files of weights from strangers: what they may hold, and what they may cost."""

import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from gingham.errors import WeightsError
from gingham.models.tensors import read_tensors
from gingham.models.weights import load_backbone
from tests.hostile import evil_checkpoint, evil_pickle, forged_checkpoint, safetensors_file

_ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("ending", [".pth", ".pt", ".bin"])
def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path, ending: str, legacy: bool) -> None:
    path = evil_checkpoint(tmp_path / f"w{ending}", tmp_path / "ran", legacy=legacy)
    with pytest.raises(WeightsError, match=r"holds more than tensors, or is damaged, and is not read") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()  # or it would have been no danger


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["w.pth", "w.pkl", "w.pickle", "w.safetensors", "w.ckpt", "w"])
def test_a_bare_pickle_is_refused_under_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(evil_pickle(tmp_path / "ran"))
    with pytest.raises(WeightsError, match=name):
        read_tensors(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # 2**30 numbers are claimed: by the storage, by the tensor, and by a tensor that repeats its one number.
        (lambda data: data.replace(b"cpuq\x06K\x04t", b"cpuq\x06J\0\0\0\x40t"), "does not match expected size"),
        (lambda data: data.replace(b"K\0K\x04\x85", b"K\0J\0\0\0\x40\x85"), "not resizable"),
        (
            lambda data: data.replace(b"K\0K\x04\x85q\x08K\x01", b"K\0J\0\0\0\x40\x85q\x08K\0"),
            "larger than the numbers",
        ),
        (lambda data: data[:-20], "not read"),
    ],
)
def test_claims_beyond_the_file_are_refused(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    path = forged_checkpoint(tmp_path / "w.pth", lambda data: data)
    assert torch.equal(read_tensors(path)["a"], torch.zeros(4))
    with pytest.raises(WeightsError, match=message):
        read_tensors(forged_checkpoint(path, change))


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = forged_checkpoint(tmp_path / "w.pth", lambda data: data, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="its parts are compressed"):
        read_tensors(path)


def test_overlapping_parts_are_refused(tmp_path: Path) -> None:
    """A directory whose entries all point at the same bytes: they are as large as the file many times over."""
    path = forged_checkpoint(tmp_path / "w.pth", lambda data: data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more", bytes(1000))
        archive.filelist += [archive.filelist[-1]] * 5
    with pytest.raises(WeightsError, match="its parts claim to be larger than the file"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse, nested or quantised"),
        (lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.quint8), "sparse, nested or quantised"),
        (lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), "sparse, nested or quantised"),
        (lambda: torch.zeros(10**6, 10**6, device="meta"), "on the device 'meta'"),
        (lambda: torch.zeros(1).expand(10**6, 10**6), "larger than the numbers it is made of"),
    ],
)
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, make: Callable[[], torch.Tensor], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # prototypes of PyTorch
        torch.save({"fine": torch.zeros(2), "odd": make()}, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=f"tensor 'odd' is .*{message}"):
            read_tensors(tmp_path / "w.pth")


def test_tied_and_transposed_tensors_are_fine(tmp_path: Path) -> None:
    one = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": one, "b": one, "c": one.T, "d": torch.nn.Parameter(one)}, tmp_path / "w.pth")
    state = read_tensors(tmp_path / "w.pth")
    assert torch.equal(state["c"], one.T)
    assert torch.equal(state["d"], one)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"{" * 1000, b""),
        (b"[]", b""),
        (b'{"a": ' + b"[" * 5000, b""),
        (_ONE, b""),
        (_ONE, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b""),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        ({"a": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        ({**_ONE, "b": _ONE["a"]}, bytes(4)),
    ],
)
def test_false_headers_are_refused(tmp_path: Path, header: dict[str, object] | bytes, data: bytes) -> None:
    path = safetensors_file(tmp_path / "w.safetensors", header, data)
    with pytest.raises(WeightsError, match=r"w.safetensors: not a readable safetensors file") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**23 + 1, 2**40, 2**64 - 1])
def test_a_giant_header_is_not_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", length))
        stream.truncate(min(length, 2**30) + 8)  # of holes: it takes no disk
    with pytest.raises(WeightsError, match=f"a header of {length:,} bytes"):
        read_tensors(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = timm.create_model("test_resnet", pretrained=False).state_dict()
    state["conv1.0.weight"][0, 0, 0, 0] = value
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"'conv1.0.weight' holds values that are not finite"):
        load_backbone("test_resnet", str(tmp_path / "w.safetensors"), image_size=64)
