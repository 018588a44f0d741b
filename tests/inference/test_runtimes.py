"""Exported models in the libraries that run them: bundles of format 4, and what they give."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gingham.cores import usable_cores
from gingham.data.formats import read_labels
from gingham.errors import BundleError, UserError
from gingham.inference.bundle import open_bundle
from gingham.inference.calibrate import write_calibrated
from gingham.inference.join import join_bundles
from gingham.inference.runtime import checked_logits
from gingham.inference.runtimes import RUNTIMES, open_runtimes
from gingham.inference.save import write_exported
from gingham.inference.tagger import Tagger
from gingham.storage import MANIFEST, write_manifest
from gingham.tensors import save_tensors
from tests import tiny
from tests.inference.calibrations import found

FACTS = {"from": "a test", "checked": "no"}


class _Outputs(nn.Module):
    """Logits under the name that runtimes expect first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits


def write_onnx(network: nn.Module, file: Path) -> None:
    dynamic = {0: torch.export.Dim("N", min=1, max=1024)}
    torch.onnx.export(
        _Outputs(network).eval(),
        (torch.zeros(2, 64, 64, 3, dtype=torch.uint8),),
        str(file),
        dynamo=True,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_shapes=[dynamic],
        external_data=False,
        verbose=False,
    )


def write_openvino(network: nn.Module, file: Path) -> None:
    import openvino

    write_onnx(network, file.with_name("graph.onnx"))
    openvino.save_model(openvino.Core().read_model(file.with_name("graph.onnx")), file, compress_to_fp16=False)
    file.with_name("graph.onnx").unlink()


def write_torch(network: nn.Module, file: Path) -> None:
    save_tensors(file, network.to(torch.bfloat16).state_dict())


WRITERS: dict[str, Callable[[nn.Module, Path], None]] = {
    "torch": write_torch,
    "onnx": write_onnx,
    "openvino": write_openvino,
}


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory, model: Path) -> dict[str, Path]:
    """The tiny model exported for each library, without Gingham's own exporter."""
    folder, made = tmp_path_factory.mktemp("exports"), {}
    for name, write in WRITERS.items():
        with pytest.MonkeyPatch.context() as patch, _silence():
            patch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)
            write_exported(
                folder / name,
                open_bundle(model),
                runtime=name,
                precision="bf16" if name == "torch" else "fp32",
                exported=FACTS,
                card="# A test\n",
                write_network=lambda _, file, write=write: _written(write, file),
            )
        made[name] = folder / name
    return made


def _written(write: Callable[[nn.Module, Path], None], file: Path) -> int:
    write(tiny.network(), file)
    return 0


def _silence() -> Any:
    import warnings

    class Quiet(warnings.catch_warnings):
        def __enter__(self) -> Any:
            entered = super().__enter__()
            warnings.simplefilter("ignore")
            return entered

    return Quiet()


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_exported_graphs_give_the_logits_of_the_network(
    exports: dict[str, Path], model: Path, photos: list[Path], wardrobe: Path, name: str
) -> None:
    expected, found = (Tagger.load(path, device="cpu") for path in (model, exports[name]))
    table = read_labels(wardrobe)
    one, other = expected.predict(table, batch_size=3), found.predict(table, batch_size=3)
    assert np.abs(one.logits - other.logits).max() <= 1e-5 * one.logits.std()
    assert str(other.source["runtime"]).startswith(f"{name} fp32 on cpu, ")
    labels = [{key: tag.label for key, tag in tagger(photos[0]).items()} for tagger in (expected, found)]
    assert labels[0] == labels[1]


def test_bfloat16_weights_give_nearly_the_logits(exports: dict[str, Path], model: Path, photos: list[Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    [exact], [rounded] = (open_runtimes(open_bundle(path), device="cpu") for path in (model, exports["torch"]))
    difference = np.abs(exact(pixels) - rounded(pixels)).max()
    assert 1e-6 < difference < 0.1 * exact(pixels).std()
    assert rounded(pixels).dtype == np.float32
    assert rounded.kind[:3] == ("torch", "bf16", "cpu")


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_deterministic_runtime_repeats_its_bits(exports: dict[str, Path], name: str) -> None:
    [runtime] = open_runtimes(open_bundle(exports[name]), device="cpu", threads=2, deterministic=True)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    first = runtime(pixels)
    runtime(255 - pixels)
    assert runtime(pixels).tobytes() == first.tobytes()
    assert runtime.kind.threads == 1
    assert runtime.kind.deterministic


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_what_was_given_stays_what_it_was(exports: dict[str, Path], name: str) -> None:
    """Results are no views of memory that the next call writes to."""
    [runtime] = open_runtimes(open_bundle(exports[name]))
    rng = np.random.default_rng(2)
    first = runtime(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    kept = first.copy()
    runtime(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_threads_are_those_that_were_asked_for(exports: dict[str, Path], name: str) -> None:
    [runtime] = open_runtimes(open_bundle(exports[name]), threads=1)
    assert runtime.kind.threads == 1


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_exported_graphs_are_for_tagging_on_a_processor(
    exports: dict[str, Path], photos: list[Path], tmp_path: Path, name: str
) -> None:
    bundle = open_bundle(exports[name])
    with pytest.raises(UserError, match=f"--device cuda: a model exported for {name} runs on cpu"):
        open_runtimes(bundle, device="cuda")
    with pytest.raises(BundleError, match=f"exported \\({name} fp32\\), for tagging only; give the model"):
        bundle.network()
    with pytest.raises(BundleError, match="for tagging only"):
        join_bundles([exports[name], exports[name]], tmp_path / "joined")
    with pytest.raises(UserError, match="does not say where a network looks; explain the model in PyTorch"):
        Tagger.load(exports[name]).explain(photos[0])


def test_a_bundle_of_a_graph_says_what_it_is(exports: dict[str, Path], model: Path) -> None:
    opened = open_bundle(exports["openvino"])
    assert (opened.runtime, opened.precision, dict(opened.exported)) == ("openvino", "fp32", FACTS)
    assert opened.only.model == open_bundle(model).only.model
    assert {file.name for file in exports["openvino"].iterdir()} == {
        "config.json",
        "schema.json",
        "model.xml",
        "model.bin",
        "README.md",
        MANIFEST,
    }


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_an_exported_model_can_be_calibrated(
    exports: dict[str, Path], photos: list[Path], tmp_path: Path, name: str
) -> None:
    bundle = open_bundle(exports[name])
    made = write_calibrated(bundle, found(), tmp_path / "calibrated", facts={"data": "a test"})
    assert made.calibrated
    assert (made.runtime, made.precision, made.exported) == (bundle.runtime, bundle.precision, bundle.exported)
    assert len(made.calibration.decisions) == 2
    assert Tagger.load(made.path, device="cpu")(photos[0], precision=0.7)["pattern"].accepted is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime": "tensorrt"}, "runtime 'tensorrt'"),
        ({"precision": "fp8"}, "not known here"),
        ({"calibrated": 1}, "not known here"),
        ({"exported": {}}, "not known here"),
        ({"exported": 3}, "not the configuration of a bundle"),
        ({"runtime": "onnx"}, "model.onnx"),
        ({"calibrated": True}, "calibration.json"),
    ],
)
def test_a_wrong_configuration_is_refused(
    exports: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    spoilt = tiny.copied(exports["openvino"], tmp_path / "m")
    config = json.loads((spoilt / "config.json").read_text())
    (spoilt / "config.json").write_text(json.dumps(config | change))
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=message):
        open_bundle(spoilt)


@pytest.mark.parametrize(
    ("name", "file"), [("onnx", "model.onnx"), ("openvino", "model.xml"), ("openvino", "model.bin")]
)
def test_a_damaged_graph_is_a_short_error(exports: dict[str, Path], tmp_path: Path, name: str, file: str) -> None:
    spoilt = tiny.copied(exports[name], tmp_path / "m")
    (spoilt / file).write_bytes(b"no graph")
    with pytest.raises(BundleError, match=f"{file}: its SHA-256 differs"):
        open_bundle(spoilt)
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=r"model.*does not take it \(") as caught:
        Tagger.load(spoilt)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_graph_of_another_shape_is_refused(exports: dict[str, Path], tmp_path: Path, name: str) -> None:
    spoilt = tiny.copied(exports[name], tmp_path / "m")
    config = json.loads((spoilt / "config.json").read_text())
    config["members"][0]["preprocess"]["size"] = 96
    (spoilt / "config.json").write_text(json.dumps(config))
    write_manifest(spoilt)
    with pytest.raises(BundleError, match=r"not a graph from uint8 pixels \[N, 96, 96, 3\] to float logits \[N, 26\]"):
        Tagger.load(spoilt)


@pytest.mark.parametrize(("module", "name"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_library_that_is_missing_is_named(
    exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"is not installed; pip install 'gingham\[{name}\]'"):
        Tagger.load(exports[name])


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_tagging_with_an_exported_model_needs_no_torch(
    exports: dict[str, Path], photos: list[Path], tmp_path: Path, name: str
) -> None:
    program = """
import sys
from gingham.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "torchvision", "timm", "accelerate", "scipy", "matplotlib", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    out = tmp_path / "tags.csv"
    arguments = ["predict", str(exports[name]), str(photos[0]), "--out", str(out), "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 2
    manifest = json.loads((tmp_path / "tags.csv.manifest.json").read_text())
    assert manifest["runtime"] == f"{name} fp32 on cpu, 1 thread"


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BundleError, match="not finite"):
        checked_logits(np.array([[0.0, np.inf]], dtype=np.float32))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cores_are_no_more_than_the_containers_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int | None
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == (expected or 4)
