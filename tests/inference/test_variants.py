"""A trained model run in other ways than PyTorch in float32, and the choice of the fastest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gingham.errors import UserError
from gingham.inference import variants as module
from gingham.inference.bundle import open_bundle
from gingham.inference.runtimes import open_runtimes
from gingham.inference.tagger import Tagger
from gingham.inference.variants import PARITY, VARIANTS, fastest
from tests.ears import Ears

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", [name for name in VARIANTS if "compiled" not in name])
def test_every_way_gives_the_logits_of_pytorch(model: Path, name: str) -> None:
    bundle = open_bundle(model)
    [plain], [other] = (open_runtimes(bundle, device="cpu", threads=1, runtime=way) for way in (None, name))
    expected = plain(PIXELS)
    bound = 0.1 if "bf16" in name else PARITY
    assert np.abs(other(PIXELS) - expected).max() <= bound * expected.std()
    assert np.abs(other(PIXELS[:1]) - expected[:1]).max() <= bound * expected.std()
    assert other.kind.runtime == name.partition("-")[0]
    assert other.kind.precision == ("bf16" if "bf16" in name else "fp32")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in VARIANTS if "compiled" in name])
def test_compiled_networks_take_batches_of_any_size(model: Path, name: str) -> None:
    bundle = open_bundle(model)
    [plain], [other] = (open_runtimes(bundle, device="cpu", threads=1, runtime=way) for way in (None, name))
    expected = plain(PIXELS)
    bound = 0.1 if "bf16" in name else PARITY
    for count in (2, 1, 3):
        assert np.abs(other(PIXELS[:count]) - expected[:count]).max() <= bound * expected.std()
    assert str(other.kind).startswith(f"torch {'bf16' if 'bf16' in name else 'fp32'} compiled on cpu")


def test_products_by_onednn_are_set_for_the_network_only(model: Path) -> None:
    before = torch.get_float32_matmul_precision()
    runtime = module._CANDIDATES["torch with oneDNN"](
        open_bundle(model).networks()[0], module._Wanted(open_bundle(model), open_bundle(model).only, "cpu", 1, False)
    )
    runtime(PIXELS)
    assert torch.get_float32_matmul_precision() == before
    assert str(runtime.kind) == "torch fp32 with oneDNN on cpu, 1 thread"


class _Timed:
    """A clock under which each way takes what the test says."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.asked = seconds, 0

    def __call__(self, runtimes: Any, images: Any) -> float:
        self.asked += 1
        kind = runtimes[0].kind
        return self.seconds.get(f"{kind.runtime} {kind.how}".strip(), 9.0)


def test_the_fastest_is_measured_once_and_printed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ears = _Timed({"torch": 2.0, "onnx": 1.0, "openvino": 3.0, "torch with oneDNN": 1.5}), Ears()
    monkeypatch.setattr(module, "_seconds", clock)
    bundle = open_bundle(model)
    assert fastest(bundle, threads=1, reporter=ears)[0].kind.runtime == "onnx"
    assert clock.asked == 12
    assert "runtime: onnx fp32 on cpu, 1 thread, the fastest here with the same answers" in ears.lines
    clock.seconds["openvino"] = 0.5
    assert fastest(bundle, threads=1)[0].kind.runtime == "onnx"
    assert clock.asked == 12
    # Other threads are another question.
    assert fastest(bundle, threads=2)[0].kind.runtime == "openvino"


def test_a_way_with_other_answers_is_left_out(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ears, right = Ears(), module._CANDIDATES["onnx"]

    def wrong(network: Any, wanted: Any) -> Any:
        runtime = right(network, wanted)

        class Wrong:
            kind = runtime.kind

            def __call__(self, pixels: Any) -> Any:
                return runtime(pixels) * np.float32(1 + 10 * PARITY)

        return Wrong()

    monkeypatch.setattr(module, "_CANDIDATES", {"torch": module._CANDIDATES["torch"], "onnx": wrong})
    monkeypatch.setattr(module, "_seconds", _Timed({"torch": 2.0, "onnx": 1.0}))
    assert fastest(open_bundle(model), threads=1, reporter=ears)[0].kind.runtime == "torch"
    assert any("onnx is left out: its logits differ by 0.0" in line for line in ears.lines)


def test_what_is_not_installed_is_not_tried(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_there", lambda name: name.startswith("torch"))
    monkeypatch.setattr(module, "_seconds", _Timed({"torch": 1.0}))
    assert fastest(open_bundle(model), threads=1)[0].kind[:2] == ("torch", "fp32")
    with pytest.raises(
        UserError, match=r"--runtime openvino: a library is not installed; pip install 'gingham\[export"
    ):
        Tagger.load(model, runtime="openvino")


def test_a_choice_that_cannot_be_read_is_made_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CANDIDATES", {"torch": module._CANDIDATES["torch"]})
    fastest(open_bundle(model), threads=1)
    [file] = (tmp_path / "cache" / "runtimes").iterdir()
    file.write_text("no JSON")
    assert fastest(open_bundle(model), threads=1)[0].kind.runtime == "torch"
    assert "torch" in file.read_text()


@pytest.mark.parametrize(
    ("running", "message"),
    [
        (
            {"runtime": "tensorrt"},
            "--runtime tensorrt: there is auto, torch, .*for int8 see gingham export",
        ),
        ({"runtime": "onnx", "device": "cuda"}, "--device cuda: onnx runs on cpu"),
    ],
)
def test_what_there_is_not_is_refused(model: Path, running: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tagger.load(model, **running)
