import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham import Predictions
from gingham.data.options import DataOptions
from gingham.data.test_time import TestTime
from gingham.inference.bundle import open_bundle
from gingham.inference.join import join_bundles
from gingham.inference.tagger import Tagger
from gingham.schema import AttributeSchema
from tests import tiny

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    views = TestTime(flip=True, whole_image=True)
    return [tiny.bundle(folder / "a"), tiny.bundle(folder / "b", seed=1, region="box", test_time=views)]


@pytest.fixture(scope="module")
def pair(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return join_bundles(models, tmp_path_factory.mktemp("pair") / "ab").path


def test_two_models_become_one_that_every_verb_takes(
    gingham: Call, models: list[Path], wardrobe: Path, tmp_path: Path
) -> None:
    code, stdout, stderr = gingham("ensemble", *models, "--out", tmp_path / "ab")
    assert (code, stdout) == (0, "")
    assert f"{tmp_path / 'ab'}: 2 networks" in stderr
    names = []
    for model in (*models, tmp_path / "ab"):
        names.append(tmp_path / f"{model.name}.parquet")
        arguments = ("evaluate", model, "--data", wardrobe, "--deterministic", "--predictions", names[-1])
        assert gingham(*arguments)[0] == 0
    first, second, both = (Predictions.from_parquet(name) for name in names)
    expected = (first.probabilities + second.probabilities) / 2
    np.testing.assert_allclose(both.probabilities, expected, atol=1e-6)
    # The same bits through another verb.
    assert (
        gingham(
            "predict", tmp_path / "ab", wardrobe, "--split", "val", "--deterministic", "--out", tmp_path / "t.jsonl"
        )[0]
        == 0
    )
    rows = {row["image"]: row for row in map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())}
    tagger = Tagger.load(tmp_path / "ab", device="cpu")
    for image, logits in zip(both.ids, both.logits, strict=True):
        for name, tag in tagger.tags(logits).items():
            assert (rows[image][name], rows[image][f"{name}_confidence"]) == tag[:2]
    manifest = json.loads((tmp_path / "t.jsonl.manifest.json").read_text())
    assert [member["preprocess"]["region"] for member in manifest["members"]] == ["image", "box"]
    assert [member["test_time"]["flip"] for member in manifest["members"]] == [False, True]


def test_info_lists_the_members_and_their_views(gingham: Call, pair: Path, models: list[Path]) -> None:
    code, stdout, _ = gingham("info", pair, "--json")
    facts = json.loads(stdout)
    each = sum(parameter.numel() for parameter in tiny.network().parameters())
    assert code == 0
    assert facts["parameters"] == 2 * each
    assert [member["parameters"] for member in facts["members"]] == [each, each]
    assert [member["name"] for member in facts["members"]] == list(map(str, models))
    assert [member["views"] for member in facts["members"]] == [
        "1 view: whole image",
        "4 views: box and whole image, plain and mirrored",
    ]
    assert sum(facts["members"][0]["parts"].values()) == each
    _, text, _ = gingham("info", pair)
    assert f"{2 * each:,}" in text
    assert "test_resnet" in text
    _, single, _ = gingham("info", models[1], "--json")
    assert json.loads(single)["views"] == "4 views: box and whole image, plain and mirrored"
    _, recipe, _ = gingham("info", "laptop-report", "--json")
    assert json.loads(recipe)["views"] == "1 view: whole image"


def test_what_cannot_be_joined_is_refused(refused: Refused, models: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "name at least two" in refused("ensemble", models[0], "--out", out)
    assert "Missing argument" in refused("ensemble", "--out", out)
    assert "--out" in refused("ensemble", *models)
    assert "count twice" in refused("ensemble", models[0], models[0], "--out", out)
    assert "no such folder" in refused("ensemble", models[0], tmp_path / "none", "--out", out)
    other = tiny.bundle(tmp_path / "other", schema=AttributeSchema.of({"hue": ["red", "blue"]}))
    message = refused("ensemble", models[0], other, "--out", out)
    assert f"the schema of {models[0]} is" in message
    assert f"that of {other} is hue (2)" in message
    column = tiny.bundle(tmp_path / "column", seed=3, data=DataOptions(image_column="file"))
    assert "data.image_column is 'image' and 'file'" in refused("ensemble", models[0], column, "--out", out)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    assert "exists; choose another" in refused("ensemble", *models, "--out", tmp_path / "mine")
    before = open_bundle(models[0]).hash
    assert "exists; choose another" in refused("ensemble", *models, "--out", models[0])
    assert (tmp_path / "mine" / "photo.jpg").exists()
    assert open_bundle(models[0]).hash == before


def test_verbs_that_need_one_network_name_the_models(
    refused: Refused, pair: Path, models: list[Path], wardrobe: Path, tmp_path: Path
) -> None:
    changes = ["model.backbone=test_resnet", "model.weights=none", "preprocess.size=64", "augment.resize=70"]
    settings = [part for change in changes for part in ("--set", change)]
    message = refused(
        "train", "--data", wardrobe, "--recipe", "report", "--init", pair, "--out", tmp_path / "run", *settings
    )
    assert f"{pair}: an ensemble of 2" in message
    assert str(models[0]) in message
    assert not (tmp_path / "run").exists()
    message = refused("audit", "--data", wardrobe, "--model", pair)
    assert f"{pair}: an ensemble of 2" in message


def test_boxes_matter_if_one_network_looks_at_them(
    gingham: Call, pair: Path, models: list[Path], wardrobe: Path, tmp_path: Path
) -> None:
    photo = sorted((wardrobe / "img").iterdir())[0]
    (tmp_path / "boxes.csv").write_text(f"image,x1,y1,x2,y2\n{photo.name},50,40,200,250\n")
    arguments = (photo, "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "t.csv")
    assert "without effect" not in gingham("predict", pair, *arguments)[2]
    assert "without effect" in gingham("predict", models[0], *arguments)[2]
    _, _, stderr = gingham("predict", pair, wardrobe / "img", "--out", tmp_path / "t.csv")
    assert stderr.count("no garment box") == 1
    assert "a part of this model was trained on boxes" in stderr
