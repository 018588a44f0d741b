"""Eight bits: how a network is quantised, with what care, and what stays in float."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from gingham.data.table import LabelTable
from gingham.export.export import export_bundle
from gingham.export.quantise import CARES, cares, in_float
from gingham.export.tune import Step, tuned
from gingham.inference.bundle import Bundle
from gingham.inference.tagger import Tagger
from gingham.models.convert import to_onnx, to_openvino
from gingham.models.graph import Graph
from gingham.models.network import build_network
from gingham.models.options import ModelOptions
from gingham.progress import Reporter
from tests import tiny

STEPS = cares(transformer=False)


@pytest.mark.usefixtures("any_bound")
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_int8_takes_its_ranges_from_other_photos(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, runtime: str
) -> None:
    found = export_bundle(bundle, tmp_path / "new", runtime=runtime, precision="int8", table=wardrobe, split="val")
    table = wardrobe.split("val")
    before, after = (Tagger.load(path, device="cpu").predict(table) for path in (bundle.path, tmp_path / "new"))
    difference = np.abs(after.logits - before.logits).max()
    assert 1e-3 < difference < 0.5 * before.logits.std()
    assert len(found.care) == 1
    assert found.care[0] in found.bundle.exported["quantised"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.suffix in {".onnx", ".xml", ".bin"}) == (
        ["model.bin", "model.xml"] if runtime == "openvino" else ["model.onnx"]
    )


def test_layers_that_stay_in_float(tmp_path: Path) -> None:
    """The same in both libraries: the stem and the classifier, and then all from the stem on."""
    import onnx

    options = ModelOptions.parse({"backbone": "test_efficientnet", "weights": "none", "head": "linear"})
    network = build_network(options, tiny.SCHEMA, image_size=64, mean=tiny.MEAN, std=tiny.STD).eval()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    to_onnx(Graph(network, tiny.SCHEMA), (64, 64), tmp_path / "m.onnx")
    model, graph = onnx.load(tmp_path / "m.onnx"), to_openvino(tmp_path / "m.onnx")
    assert in_float(model, STEPS[0]) == in_float(graph, STEPS[0]) == []
    nodes = {node.name: node for node in model.graph.node}
    first, last = in_float(model, STEPS[1])
    assert (nodes[first].op_type, nodes[last].op_type) == ("Conv", "Gemm")
    assert nodes[first].input[1].endswith("conv_stem.weight")
    thirds = [in_float(model, care) for care in STEPS[2:]]
    assert [len(names) for names in thirds] == [round(share * len(layers)) + 1 for share in (1 / 3, 2 / 3, 5 / 6)]
    assert thirds[0][:-1] == thirds[1][: len(thirds[0]) - 1]
    assert thirds[0][0] == first
    assert thirds[0][-1] == last
    # OpenVINO calls a layer with a bias `<name>/WithoutBiases`.
    for care in STEPS[1:]:
        assert [name.partition("/")[0] for name in in_float(graph, care)] == in_float(model, care)


def test_what_does_not_see_the_image_is_no_first_layer(tmp_path: Path) -> None:
    """Query2Label's first decoder layer projects its learned queries, which libraries list before the stem."""
    import onnx

    options = ModelOptions.parse(
        {
            "backbone": "test_efficientnet",
            "weights": "none",
            "head": "query2label",
            "query2label": {"width": 16, "ffn": 32, "heads": 2},
        }
    )
    network = build_network(options, tiny.SCHEMA, image_size=64, mean=tiny.MEAN, std=tiny.STD).eval()
    to_onnx(Graph(network, tiny.SCHEMA), (64, 64), tmp_path / "m.onnx")
    model, graph = onnx.load(tmp_path / "m.onnx"), to_openvino(tmp_path / "m.onnx")
    nodes = {node.name: node for node in model.graph.node}
    found = in_float(model, STEPS[1])
    assert nodes[found[0]].input[1].endswith("conv_stem.weight")
    assert [name.partition("/")[0] for name in in_float(graph, STEPS[1])] == found


def test_ranges_are_evened_out_of_networks_with_attention_only() -> None:
    assert [care for care in CARES if care not in STEPS] == [care for care in CARES if care.evened is not None]
    assert cares(transformer=True) == CARES
    # Both ways to begin are tried before layers are left in float, which costs speed.
    assert not any(care.float_ends or care.float_share for care in CARES[:2])


class Fake:
    """A network that keeps some share of the tags of the one before."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(pixels), tiny.SCHEMA.total), dtype=np.float32)
        # The first pixel is the photo's number, of 200.
        changed = pixels[:, 0, 0, 0] >= 200 * self.share
        for part in tiny.SCHEMA.slices:
            logits[changed, part.start] = -1
        return logits


@pytest.mark.parametrize(
    ("shares", "taken"),
    [
        ([0.99, 0, 0, 0, 0], 0),
        ([0.98, 0.986, 0, 0, 0], 1),  # half a point more than the bound
        ([0.9, 0.95, 0.93, 0.94, 0.9], 1),  # never enough: the best
        ([0.9, 0.8, 0.97, 0.99, 0], 3),
    ],
)
def test_care_rises_until_the_tags_stay(shares: list[float], taken: int) -> None:
    photos = [[np.full((2, 2, 3), number, dtype=np.uint8)] * 2 for number in range(200)]
    found = tuned(
        lambda: Fake(1.0),  # type: ignore[arg-type,return-value]
        [Step(f"step {n}", lambda n=n, share=share: (n, Fake(share))) for n, share in enumerate(shares)],  # type: ignore[misc]
        tuning=photos,
        schema=tiny.SCHEMA,
        precision="int8",
        by_tags=True,
        reporter=Reporter(),
    )
    assert found.product == taken
    assert found.step == f"step {taken}"
    assert found.words.startswith(f"step {taken}; on 200 tuning photos 9")


@pytest.mark.parametrize(
    ("precision", "shifts", "taken"),
    [
        ("int8", [0.1, 9, 9, 9, 9], 0),
        ("int8", [0.5, 0.25, 0.2, 9, 9], 2),
        ("int8", [0.5, 0.4, 0.45, 0.6, 9], 1),
        ("bf16", [0.1, 0.045, 0.03, 9, 9], 2),
    ],
)
def test_without_tags_that_mean_something_logits_are_judged(precision: str, shifts: list[float], taken: int) -> None:
    """Four fifths of the bound, of 0.3 or 0.05 standard deviations, are asked for."""
    logits = np.random.default_rng(0).normal(size=(50, tiny.SCHEMA.total)).astype(np.float32)
    logits /= logits.std()

    def runtime(shift: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda pixels: logits[pixels[:, 0, 0, 0]] + np.float32(shift)

    found = tuned(
        lambda: runtime(0.0),  # type: ignore[arg-type,return-value]
        [Step("", lambda n=n, shift=shift: (n, runtime(shift))) for n, shift in enumerate(shifts)],  # type: ignore[misc]
        tuning=[[np.full((2, 2, 3), number, dtype=np.uint8)] for number in range(50)],
        schema=tiny.SCHEMA,
        precision=precision,
        by_tags=False,
        reporter=Reporter(),
    )
    assert found.product == taken
