"""The verbs that need labels: evaluate, submit, compare."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.inference.tagger import Tagger
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from tests import tiny

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory, wardrobe: Path) -> tuple[Path, Path]:
    """Predictions of two taggers on the same photos."""
    folder = tmp_path_factory.mktemp("predicted")
    table = read_labels(wardrobe).split("train")
    files = []
    for seed in (0, 1):
        tagger = Tagger([tiny.voter(tiny.network(seed=seed), tiny.preprocess())], tiny.SCHEMA)
        files.append(folder / f"{seed}.parquet")
        tagger.predict(table).to_parquet(files[-1])
    return files[0], files[1]


def test_evaluate_prints_and_writes(gingham: Call, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    json_file, parquet = tmp_path / "m.json", tmp_path / "p.parquet"
    code, stdout, stderr = gingham(
        "evaluate", model, "--data", wardrobe, "--split", "train", "--json", json_file, "--predictions", parquet
    )
    assert code == 0
    assert "mean class accuracy" in stdout
    assert "mean class accuracy" not in stderr
    assert "predicting" in stderr
    metrics = json.loads(json_file.read_text())
    assert {
        "mean_class_accuracy",
        "mean_class_accuracy_ci95",
        "overall_accuracy",
        "per_attribute",
        "per_class",
        "n",
    } <= set(metrics)
    assert list(metrics["per_attribute"]) == list(tiny.SCHEMA.names)
    for attribute in tiny.SCHEMA.attributes:
        assert {"mean_class_accuracy", "accuracy", "macro_f1", "n"} <= set(metrics["per_attribute"][attribute.name])
        assert list(metrics["per_class"][attribute.name]) == list(attribute.classes)
        for values in metrics["per_class"][attribute.name].values():
            assert {"recall", "n"} <= set(values)
    saved = Predictions.from_parquet(parquet)
    assert metrics["n"] == len(saved) == 14
    table = read_labels(wardrobe).split("train")
    assert saved.ids == table.images
    assert np.array_equal(saved.targets, table.targets)
    assert metrics["overall_accuracy"] == pytest.approx(float((saved.predicted == table.targets).mean()))
    low, high = metrics["mean_class_accuracy_ci95"]
    assert low <= metrics["mean_class_accuracy"] <= high


def test_evaluate_predict_and_python_agree(gingham: Call, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    gingham("evaluate", model, "--data", wardrobe, "--predictions", tmp_path / "p.parquet", "--batch-size", "1")
    gingham("predict", model, wardrobe, "--split", "val", "--out", tmp_path / "t.jsonl")
    saved = Predictions.from_parquet(tmp_path / "p.parquet")
    tagged = {row["image"]: row for row in map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())}
    tagger = Tagger.load(model, device="cpu")
    for row, name in enumerate(saved.ids):
        for part, (attribute, tag) in zip(saved.schema.slices, tagger(wardrobe / name).items(), strict=True):
            best = saved.probabilities[row, part].max()
            assert abs(best - tag.confidence) <= 1e-5
            assert abs(tagged[name][f"{attribute}_confidence"] - tag.confidence) <= 1e-5
            assert tagged[name][attribute] == tag.label


def test_labels_are_read_as_the_run_read_them(gingham: Call, wardrobe: Path, tmp_path: Path) -> None:
    table = read_labels(wardrobe)
    lines = ["file,which," + ",".join(table.schema.names)]
    for row, name in enumerate(table.images):
        labels = table.schema.decode(table.targets[row])
        lines.append(f"{name},{'val' if row < 5 else 'train'}," + ",".join(str(label) for label in labels.values()))
    labels_file = tmp_path / "labels.csv"
    labels_file.write_text("\n".join(lines) + "\n")
    options = DataOptions(
        image_column="file", split_column="which", schema_file="deepfashion", image_root=str(wardrobe)
    )
    model = tiny.bundle(tmp_path / "model", data=options)
    code, *_ = gingham("evaluate", model, "--data", labels_file, "--json", tmp_path / "m.json")
    assert code == 0
    assert json.loads((tmp_path / "m.json").read_text())["n"] == 5
    settings = [f"--set=data.{name}={value}" for name, value in options.model_dump(exclude_defaults=True).items()]
    assert gingham("evaluate", tiny.bundle(tmp_path / "plain"), "--data", labels_file, *settings)[0] == 0


def test_a_recipe_that_only_lies_nearby_does_not_count(gingham: Call, wardrobe: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("data: {image_column: nonsense}\n")
    tiny.bundle(tmp_path / "model")
    assert gingham("evaluate", tmp_path / "model", "--data", wardrobe)[0] == 0


def test_wrong_labels_are_one_line(refused: Refused, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    def call(*arguments: str | Path, data: Path = wardrobe) -> str:
        return refused("evaluate", model, "--data", data, *arguments)

    assert "no such file or folder" in call(data=tmp_path / "none")
    assert "no labels found" in call(data=model.parent / "tiny-wardrobe" / "img")
    assert "no split 'tset'; there are train, val, test" in call("--split", "tset")
    assert "only fields of the data block can be set here" in call("--set", "train.epochs=3")
    assert "did you mean 'image_column'" in call("--set", "data.image_colum=x")
    spoilt = tmp_path / "spoilt"
    shutil.copytree(wardrobe, spoilt)
    labels = spoilt / "split" / "val_attr.txt"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([lines[0].replace(lines[0][0], "9", 1), *lines[1:]]) + "\n")
    assert "val_attr.txt:1: attribute 'pattern' has label 9, expected 0..6" in call(data=spoilt)
    labels.write_text("\n".join(lines[:-1]) + "\n")
    assert "lists 3 images; each needs one" in call(data=spoilt)
    labels.write_text(lines[0] + "\n" + lines[1][:5] + "\n" + lines[2])
    assert "val_attr.txt:2: 3 labels, expected 6" in call(data=spoilt)
    labels.write_text("\n".join(lines) + "\n")
    name = (spoilt / "split" / "val.txt").read_text().split()[1]
    (spoilt / name).write_text("not an image")
    assert f"1 images cannot be read: {name} (unreadable)" in call(data=spoilt)


def test_a_split_without_labels_is_not_measured(refused: Refused, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(wardrobe, tmp_path / "data"))
    (data / "split" / "test_attr.txt").unlink()
    message = refused("evaluate", model, "--data", data, "--split", "test", "--json", tmp_path / "m.json")
    assert "--split test: none of its 3 images has a label" in message
    assert not (tmp_path / "m.json").exists()


def test_a_schema_that_does_not_match_names_both(refused: Refused, wardrobe: Path, tmp_path: Path) -> None:
    schema = AttributeSchema.of({"colour": ["red", "blue"], "size": ["S", "M"]})
    model = tiny.bundle(tmp_path / "model", schema=schema)
    for verb in (["evaluate"], ["submit", "--out", tmp_path / "s.zip"]):
        message = refused(verb[0], model, "--data", wardrobe, *verb[1:])
        assert "colour (2), size (2)" in message
        assert "pattern (7)" in message
    assert not (tmp_path / "s.zip").exists()


def test_outputs_that_cannot_be_are_refused_before_any_work(
    refused: Refused, model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    def call(*arguments: str | Path) -> str:
        message = refused("evaluate", model, "--data", wardrobe, *arguments)
        assert list(tmp_path.iterdir()) == []
        return message

    assert "is a directory" in call("--json", tmp_path)
    assert "is a directory" in call("--predictions", tmp_path)
    assert "the same file as" in call("--predictions", tmp_path / "x.parquet", "--json", tmp_path / "x.parquet")
    assert "is a directory" in refused("submit", model, "--data", wardrobe, "--out", tmp_path)


def test_submit_writes_the_test_split_in_its_order(gingham: Call, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(wardrobe, data)
    order = list(reversed((data / "split" / "test.txt").read_text().split()))
    (data / "split" / "test.txt").write_text("\n".join(order) + "\n")
    (data / "split" / "test_attr.txt").unlink()
    code, stdout, _ = gingham("submit", model, "--data", data, "--out", tmp_path / "submission.zip")
    assert code == 0
    assert stdout == ""
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert archive.namelist() == ["prediction.txt"]
        text = archive.read("prediction.txt").decode()
    tagger = Tagger.load(model, device="cpu")
    expected = [
        " ".join(str(tagger.schema[name].index[tag.label]) for name, tag in tagger(data / image).items()) + "\n"
        for image in order
    ]
    assert text == "".join(expected)


def test_compare_two_files(gingham: Call, predicted: tuple[Path, Path], tmp_path: Path) -> None:
    code, stdout, _ = gingham("compare", *predicted, "--json", tmp_path / "c.json")
    assert code == 0
    assert "overall accuracy" in stdout
    first, second = (Predictions.from_parquet(file) for file in predicted)
    gain = float((second.predicted == second.targets).mean() - (first.predicted == first.targets).mean())
    assert json.loads((tmp_path / "c.json").read_text())["overall_accuracy"]["difference"] == pytest.approx(gain)


def test_compare_refuses_what_is_no_prediction(
    refused: Refused, predicted: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    first, second = predicted
    assert "no such file" in refused("compare", first, tmp_path / "none.parquet")
    assert "not a readable Parquet file" in refused("compare", first, model / "config.json")
    assert "would replace what is read" in refused("compare", first, second, "--json", second)
    one = Predictions.from_parquet(first)
    few = Predictions(one.schema, one.ids[1:], one.logits[1:], one.targets[1:] if one.targets is not None else None)
    few.to_parquet(tmp_path / "few.parquet")
    refused("compare", first, tmp_path / "few.parquet")
