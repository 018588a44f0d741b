"""Exporting a small tagger to every runtime and precision, and loading what comes out as a user would."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.data.table import LabelTable
from gingham.data.test_time import TestTime
from gingham.errors import BundleError, UserError
from gingham.evaluation import agreement as agreements
from gingham.evaluation.agreement import Bound
from gingham.export import export as module
from gingham.export import packages, photos, tune
from gingham.export.export import export_bundle
from gingham.export.members import MemberWriter
from gingham.export.packages import require
from gingham.export.photos import choose_photos
from gingham.inference.bundle import Bundle, open_bundle
from gingham.inference.card import read_card
from gingham.inference.join import join_bundles
from gingham.inference.tagger import Tagger
from gingham.models.lower import lower
from gingham.progress import Reporter
from gingham.storage import write_manifest
from gingham.tensors import read_layout
from tests import tiny

PAIRS = [
    ("torch", "fp32", 1e-5),
    ("torch", "bf16", 0.5),
    ("onnx", "fp32", 1e-4),
    ("openvino", "bf16", 0.5),
]


@pytest.mark.usefixtures("any_bound")
@pytest.mark.parametrize(("runtime", "precision", "tolerance"), PAIRS)
def test_answers_stay(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, runtime: str, precision: str, tolerance: float
) -> None:
    found = export_bundle(bundle, tmp_path / "new", runtime=runtime, precision=precision, table=wardrobe, split="train")
    table = wardrobe.split("train")
    before, after = (Tagger.load(path, device="cpu").predict(table) for path in (bundle.path, tmp_path / "new"))
    np.testing.assert_allclose(after.logits, before.logits, atol=tolerance)
    assert found.agreement is not None
    assert found.agreement.n == len(table)
    assert found.agreement.logit_difference == pytest.approx(np.abs(after.logits - before.logits).max(), abs=1e-4)
    assert found.agreement.accuracy_before is not None
    opened = open_bundle(tmp_path / "new")
    assert (opened.runtime, opened.precision) == (runtime, precision)
    assert opened.exported["from"] == bundle.hash
    assert f"{found.agreement.tags:.2%}" in opened.exported["tags that stay"]
    card = read_card(opened)
    assert f"For {runtime}, {precision}." in card
    assert "mean class accuracy" in card.partition("## Export")[2].partition("## Limits")[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_bf16_weights_are_bf16(bundle: Bundle, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", unchecked=True)
    layout = read_layout(tmp_path / "new" / "model.safetensors")
    assert {entry.dtype for entry in layout.values()} <= {"BF16", "I64"}
    assert "BF16" in {entry.dtype for entry in layout.values()}


@pytest.mark.usefixtures("any_bound")
def test_every_member_of_an_ensemble_is_exported(wardrobe: LabelTable, tmp_path: Path) -> None:
    for seed in (1, 2):
        tiny.bundle(tmp_path / f"m{seed}", seed=seed, test_time=TestTime(flip=seed == 2))
    joined = join_bundles([tmp_path / "m1", tmp_path / "m2"], tmp_path / "both")
    export_bundle(joined, tmp_path / "new", runtime="openvino", precision="fp32", table=wardrobe, split="train")
    table = wardrobe.split("train")
    before, after = (Tagger.load(tmp_path / name, device="cpu").predict(table) for name in ("both", "new"))
    np.testing.assert_allclose(after.logits, before.logits, atol=1e-4)
    assert (tmp_path / "new" / "member-2.bin").is_file()


def test_the_graph_names_its_outputs(bundle: Bundle, tmp_path: Path) -> None:
    import onnxruntime

    export_bundle(bundle, tmp_path / "new", runtime="onnx", precision="fp32", unchecked=True, attention=True)
    session = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx")
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(uint8)", [64, 64, 3])
    names = [output.name for output in session.get_outputs()]
    assert names == ["logits", *(f"probability_{name}" for name in tiny.SCHEMA.names), "attention"]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    outputs = dict(zip(names, session.run(None, {"pixels": pixels}), strict=True))
    with torch.no_grad():
        network = bundle.network()
        logits = network(torch.from_numpy(pixels))
        maps = network.head.attention(network.features(torch.from_numpy(pixels)), network.backbone.grid)  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(outputs["logits"], logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(outputs["attention"], maps.transpose(0, 1).numpy(), atol=1e-4)
    for name, part in zip(tiny.SCHEMA.names, tiny.SCHEMA.slices, strict=True):
        np.testing.assert_allclose(outputs[f"probability_{name}"], logits[:, part].softmax(1).numpy(), atol=1e-4)


def test_a_broken_bound_leaves_nothing(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = dict.fromkeys(agreements.BOUNDS, Bound(tags=1.1, accuracy=1, logits=9))
    monkeypatch.setattr(module, "BOUNDS", strict)
    with pytest.raises(BundleError, match=r"torch bf16: .*of the tags.*nothing was written.*fp32"):
        export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", table=wardrobe, split="train")
    assert list(tmp_path.iterdir()) == []


def test_an_untrained_model_is_judged_by_its_logits(wardrobe: LabelTable, tmp_path: Path) -> None:
    """Its tags may change as they like; its bundle says that nobody trained it."""
    from gingham.inference.save import write_bundle

    bundle = open_bundle(tiny.bundle(tmp_path / "model"))
    write_bundle(
        tmp_path / "random",
        network=bundle.network(),
        member=bundle.only,
        schema=bundle.schema,
        data=bundle.data,
        trained={},
        card="",
    )
    random = open_bundle(tmp_path / "random")
    found = export_bundle(random, tmp_path / "new", runtime="torch", precision="fp32", table=wardrobe, split="train")
    assert "nobody trained" in found.bundle.exported["judged by"]
    assert found.agreement is not None
    assert found.agreement.relative_difference < 1e-4


def test_unchecked_is_said(bundle: Bundle, tmp_path: Path) -> None:
    found = export_bundle(bundle, tmp_path / "new", runtime="torch", precision="fp32", unchecked=True)
    assert found.agreement is None
    assert "checked: no" in read_card(found.bundle)


def test_what_does_not_go_together(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new"
    with pytest.raises(UserError, match=r"no such pair; there are torch fp32, torch bf16, onnx fp32, onnx int8"):
        export_bundle(bundle, out, runtime="torch", precision="int8", table=wardrobe)
    with pytest.raises(UserError, match="--unchecked"):
        export_bundle(bundle, out, runtime="torch", precision="bf16")
    with pytest.raises(UserError, match="leave one"):
        export_bundle(bundle, out, runtime="torch", precision="bf16", table=wardrobe, unchecked=True)
    with pytest.raises(UserError, match="give --data"):
        export_bundle(bundle, out, runtime="openvino", precision="int8", unchecked=True)
    with pytest.raises(UserError, match="--attention"):
        export_bundle(bundle, out, runtime="torch", precision="fp32", unchecked=True, attention=True)
    exported = export_bundle(bundle, out, runtime="torch", precision="fp32", unchecked=True).bundle
    with pytest.raises(UserError, match="exists"):
        export_bundle(bundle, out, runtime="torch", precision="fp32", unchecked=True)
    with pytest.raises(BundleError, match="exported"):
        export_bundle(exported, tmp_path / "again", runtime="torch", precision="bf16", unchecked=True)

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(UserError, match=r"onnxscript|onnx .*pip install 'gingham\[export\]'"):
        require("openvino", "bf16")
    require("torch", "bf16")


def test_photos_are_never_used_twice(wardrobe: LabelTable) -> None:
    checked, calibrating, tuning = choose_photos(wardrobe, "val", "quantised")
    assert calibrating is not None
    assert tuning is not None
    assert set(checked.images) == set(wardrobe.split("val").images)
    train = set(wardrobe.split("train").images)
    assert set(calibrating.images) | set(tuning.images) == train
    assert not set(calibrating.images) & set(tuning.images)
    checked, calibrating, tuning = choose_photos(wardrobe.with_splits(["train"] * 20), "train", "quantised")
    parts = [set(part.images) for part in (checked, calibrating, tuning) if part is not None]
    assert [len(part) for part in parts] == [10, 5, 5]
    assert len(set.union(*parts)) == 20
    assert choose_photos(wardrobe, "train", "none")[1:] == (None, None)
    with pytest.raises(UserError, match="at least 8 photos besides the 5"):
        choose_photos(wardrobe.take(range(10)).with_splits(["val"] * 10), "val", "quantised")


def test_photos_to_tune_with_if_there_are_enough(wardrobe: LabelTable) -> None:
    checked, calibrating, tuning = choose_photos(wardrobe, "val", "tuned")
    assert calibrating is None
    assert tuning is not None
    assert set(checked.images) == set(wardrobe.split("val").images)
    assert set(tuning.images) == set(wardrobe.split("train").images)
    one = wardrobe.with_splits(["val"] * 20)
    checked, _, tuning = choose_photos(one, "val", "tuned")
    assert tuning is not None
    assert (len(checked), len(tuning)) == (10, 10)
    assert not set(checked.images) & set(tuning.images)
    few = wardrobe.take(range(10)).with_splits(["val"] * 10)
    assert [part and len(part) for part in choose_photos(few, "val", "tuned")] == [10, None, None]


def test_few_training_photos_do_not_make_the_check_longer(
    wardrobe: LabelTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "_CHECKED", 5)
    table = wardrobe.with_splits(["train"] * 4 + ["val"] * 16)
    assert [part and len(part) for part in choose_photos(table, "val", "tuned")] == [5, None, None]


def test_a_bundle_without_stages_in_float_is_one_that_older_versions_read(bundle: Bundle, tmp_path: Path) -> None:
    import json

    export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", unchecked=True)
    assert "float_stages" not in json.loads((tmp_path / "new" / "config.json").read_text())["members"][0]


def test_bf16_of_pytorch_tries_to_leave_first_stages_in_float(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for the impossible, it tries all, takes the best, and the bundle says which."""
    monkeypatch.setattr(tune, "BOUNDS", {"bf16": Bound(tags=1.1, accuracy=1, logits=0)})
    monkeypatch.setattr(module, "BOUNDS", dict.fromkeys(agreements.BOUNDS, Bound(tags=0, accuracy=1, logits=9)))
    said: list[str] = []
    monkeypatch.setattr(Reporter, "say", lambda self, text: said.append(text))
    found = export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", table=wardrobe, split="val")
    names = [text.removeprefix("bf16, ").partition(";")[0] for text in said if text.startswith("bf16, ")]
    assert names == ["all in bfloat16", *(f"first {count} stages in float" for count in range(1, len(names)))]
    assert len(names) > 2
    assert found.care[0].startswith(names[found.bundle.only.float_stages])
    assert found.bundle.exported["care"] == found.care[0]


@pytest.mark.usefixtures("any_bound")
def test_stages_in_float_are_read_as_they_were_written(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr(MemberWriter, "_float_stages", lambda *_: 2)
    found = export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", table=wardrobe, split="val")
    assert found.bundle.only.float_stages == 2
    own = bundle.network().state_dict()
    for name, tensor in load_file(tmp_path / "new" / "model.safetensors").items():
        first = name.startswith("backbone.model.") and not any(part in name for part in ("layer3.", "layer4."))
        assert tensor.dtype == (torch.float32 if first else torch.bfloat16) or not tensor.is_floating_point()
        assert torch.equal(tensor, own[name].to(tensor.dtype))
    tagger = Tagger.load(tmp_path / "new", device="cpu")
    assert tagger.runtime.startswith("torch bf16")
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(found.bundle.networks()[0](pixels), lower(bundle.network(), 2)(pixels))


def test_a_bundle_with_more_stages_than_there_are_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    import json

    export_bundle(bundle, tmp_path / "new", runtime="torch", precision="bf16", unchecked=True)
    file = tmp_path / "new" / "config.json"
    config = json.loads(file.read_text())
    config["members"][0]["float_stages"] = 40
    file.write_text(json.dumps(config))
    write_manifest(tmp_path / "new")
    with pytest.raises(BundleError, match=r"config.json: float_stages: .*0 to 3 first stages.*not 40"):
        open_bundle(tmp_path / "new").check_weights()
