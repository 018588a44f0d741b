"""Several taggers as one bundle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.test_time import TestTime
from gingham.errors import BundleError, MachineError, SchemaError, UserError
from gingham.evaluation.metrics import evaluate
from gingham.inference import join as module
from gingham.inference.bundle import open_bundle
from gingham.inference.join import join_bundles
from gingham.inference.tagger import Tagger
from gingham.predictions import softmax
from gingham.schema import AttributeSchema
from gingham.storage import MANIFEST, sha256_file
from tests import tiny
from tests.evaluation.samples import predictions_of

EVERY = TestTime(flip=True, scales=(1.0, 1.25), whole_image=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A plain one, a run, and one that looks at boxes in many views."""
    folder = tmp_path_factory.mktemp("models")
    return [
        tiny.bundle(folder / "plain", seed=1),
        tiny.run_folder(folder / "run"),
        tiny.bundle(folder / "boxes", seed=2, region="box", test_time=EVERY),
    ]


@pytest.fixture(scope="module")
def joined(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("joined") / "three"
    join_bundles(models, out)
    return out


def test_the_bundle_holds_what_its_models_hold(models: list[Path], joined: Path) -> None:
    bundle, parts = open_bundle(joined), [open_bundle(model) for model in models]
    assert {file.name for file in joined.iterdir()} == {
        *("config.json", "schema.json", "README.md", MANIFEST),
        *(f"member-{number}.safetensors" for number in (1, 2, 3)),
    }
    for member, part, name in zip(bundle.members, parts, models, strict=True):
        assert member.model_copy(update={"weights": "model.safetensors", "name": ""}) == part.only
        assert member.name == str(name)
        assert sha256_file(joined / member.weights) == sha256_file(part.path / "model.safetensors")
    assert bundle.schema == tiny.SCHEMA
    assert bundle.data == DataOptions()
    assert bundle.trained == {**tiny.TRAINED, "metrics": None}
    assert len({file.stat().st_mode for file in joined.iterdir()}) == 1


def test_its_probabilities_are_the_mean_of_theirs(models: list[Path], joined: Path, wardrobe: Path) -> None:
    table = read_labels(wardrobe).split("val")
    each = [Tagger.load(model, device="cpu").predict(table) for model in models]
    together = Tagger.load(joined, device="cpu").predict(table)
    expected = np.mean([one.probabilities for one in each], axis=0)
    np.testing.assert_allclose(together.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(together.logits), expected, atol=1e-5)
    assert np.abs(each[0].probabilities - expected).max() > 1e-2
    assert together.source["model"] == open_bundle(joined).hash


def test_an_ensemble_of_an_ensemble_is_flat_and_each_network_counts_alike(
    models: list[Path], joined: Path, tmp_path: Path, wardrobe: Path
) -> None:
    fourth = tiny.bundle(tmp_path / "fourth", seed=4)
    bundle = join_bundles([joined, fourth], tmp_path / "four")
    assert [member.name for member in bundle.members] == [*map(str, models), str(fourth)]
    table = read_labels(wardrobe).split("val").take([0, 1])
    each = [Tagger.load(model, device="cpu").predict(table).logits for model in (*models, fourth)]
    found = Tagger.load(tmp_path / "four", device="cpu").predict(table)
    expected = np.mean([softmax(logits, tiny.SCHEMA) for logits in each], axis=0)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_what_differs_between_the_trainings_is_a_list(models: list[Path], tmp_path: Path) -> None:
    other = tiny.copied(tiny.bundle(tmp_path / "a", seed=3), tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["trained"] = {"data": "a wardrobe", "epoch": 7, "seed": 3, "metrics": {"n": 1}}
    (other / "config.json").write_text(json.dumps(config))
    module.write_manifest(other)
    bundle = join_bundles([models[0], other], tmp_path / "two", name="Two")
    assert bundle.trained == {
        "data": "a wardrobe",
        "training_images": [14, None],
        "epoch": [1, 7],
        "seed": [None, 3],
        "metrics": None,
    }


def test_the_card_lists_the_networks_and_what_was_measured(models: list[Path], tmp_path: Path) -> None:
    metrics = evaluate(predictions_of([[0] * 6, [1] * 6], [[0] * 6, [0] + [1] * 5], tiny.SCHEMA), bootstrap=50)
    chosen = DataOptions(val_fraction=0.3)
    facts = {"folds": 3}
    bundle = join_bundles(models, tmp_path / "m", name="Three", data=chosen, trained=facts, metrics=metrics)
    card = (tmp_path / "m" / "README.md").read_text()
    assert "# Three" in card
    assert "The probabilities of 3 networks are averaged:" in card
    assert card.count("- backbone `test_resnet`, head `query2label`; ") == 3
    assert "; 8 views: box and whole image, zoomed 1, 1.25 times, plain and mirrored\n" in card
    assert "- folds: 3" in card
    assert f"Mean class accuracy {metrics.mean_class_accuracy:.4f}" in card
    assert bundle.data == chosen
    assert bundle.trained == {"folds": 3, "metrics": metrics.to_json()}


def test_one_model_alone_is_what_it_was(models: list[Path], tmp_path: Path) -> None:
    bundle = join_bundles(models[:1], tmp_path / "one")
    assert bundle.only.model_copy(update={"name": ""}) == open_bundle(models[0]).only
    assert (tmp_path / "one" / "preprocess.json").is_file()
    seen = join_bundles(models[2:], tmp_path / "seen")
    assert seen.only.test_time == EVERY


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"fit": ["tight", "loose"]}, "attributes fabric, length, neckline, pattern, sleeve"),
        ({a.name: a.classes[::-1] for a in tiny.SCHEMA.attributes}, "the order of attributes or classes"),
    ],
)
def test_other_schemas_are_refused(models: list[Path], tmp_path: Path, other: dict[str, Any], message: str) -> None:
    strange = tiny.bundle(tmp_path / "strange", schema=AttributeSchema.of(other))
    with pytest.raises(SchemaError, match=f"the schema of {models[0]} is .*, that of {strange} is .*{message}"):
        join_bundles([models[0], strange], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_data_options_are_refused_unless_they_are_given(models: list[Path], tmp_path: Path) -> None:
    other = tiny.bundle(tmp_path / "other", seed=3, data=DataOptions(split_seed=4))
    with pytest.raises(UserError, match=r"other read labels differently: data.split_seed is 0 and 4; train them"):
        join_bundles([models[0], other], tmp_path / "out")
    assert join_bundles([models[0], other], tmp_path / "out", data=DataOptions()).data == DataOptions()


def test_a_network_counts_once(models: list[Path], joined: Path, tmp_path: Path) -> None:
    copy = tiny.copied(models[0], tmp_path / "copy")
    for paths in ([models[0], models[0]], [models[0], copy], [joined, copy]):
        with pytest.raises(UserError, match=r"the same network as .*plain, which would count twice; leave one out"):
            join_bundles(paths, tmp_path / "out")
    # The same weights that look otherwise are something else.
    mirrored = tiny.bundle(tmp_path / "mirrored", seed=1, test_time=TestTime(flip=True))
    assert len(join_bundles([models[0], mirrored], tmp_path / "out").members) == 2


def test_too_many_are_refused(models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 2)
    with pytest.raises(UserError, match="3 networks: an ensemble has at most 2; leave some out"):
        join_bundles(models, tmp_path / "out")


def test_a_damaged_model_is_refused(models: list[Path], tmp_path: Path) -> None:
    spoilt = tiny.copied(models[0], tmp_path / "spoilt")
    with (spoilt / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match=r"spoilt/model.safetensors: its SHA-256 differs"):
        join_bundles([models[1], spoilt], tmp_path / "out")
    with pytest.raises(BundleError, match="no such folder"):
        join_bundles([models[1], tmp_path / "nothing"], tmp_path / "out")


def test_a_full_disk_leaves_nothing(models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(MachineError, match="the disk is full"):
        join_bundles(models, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_single_network_is_needed_by_some(joined: Path, models: list[Path]) -> None:
    message = f"an ensemble of 3, and one network is needed here; give one of the models.*: {models[0]}, {models[1]}"
    with pytest.raises(BundleError, match=message):
        open_bundle(joined).network()
