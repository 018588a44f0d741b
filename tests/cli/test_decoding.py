"""How images are decoded and tagged, as told on the command line: limits, child processes, equal bits."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from gingham.data import isolated
from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.errors import ImageError
from gingham.inference.tagger import Tagger
from gingham.predictions import Predictions
from gingham.wardrobe import garment
from tests import tiny
from tests.data import hostile_worker

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


def rows(file: Path) -> dict[str, dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def photos(wardrobe: Path, tmp_path: Path) -> Path:
    """Five small photos and one of 90,000 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        with Image.open(wardrobe / "img" / f"{number:05d}.jpg") as image:
            image.resize((100, 100)).save(folder / f"{number}.png")
            image.resize((300, 300)).save(folder / "large.png")
    return folder


def test_the_limit_is_the_models_unless_told(gingham: Call, photos: Path, tmp_path: Path) -> None:
    narrow = tiny.bundle(tmp_path / "narrow", data=DataOptions(max_pixels=89_999))
    out = tmp_path / "tags.csv"
    for options, unread, limit in (
        ([], ["large.png"], 89_999),
        (["--max-pixels", "90000"], [], 90_000),
        (["--max-pixels", "9999", "--isolated"], [*(f"{n}.png" for n in range(5)), "large.png"], 9_999),
    ):
        code, _, _ = gingham("predict", narrow, photos, "--out", out, *options)
        assert code == (4 if unread else 0)
        assert {name: row["error"] for name, row in rows(out).items() if row["error"]} == dict.fromkeys(
            unread, "too_large"
        )
        assert json.loads(Path(f"{out}.manifest.json").read_text())["options"]["max_pixels"] == limit
    with pytest.raises(ImageError, match="more than the limit of 89999"):
        Tagger.load(narrow, device="cpu")(photos / "large.png")
    assert Tagger.load(narrow, device="cpu", max_pixels=90_000)(photos / "large.png")


def test_evaluate_and_submit_keep_the_limit(gingham: Call, refused: Refused, model: Path, wardrobe: Path) -> None:
    with Image.open(wardrobe / "img" / "00000.jpg") as image:
        pixels = image.width * image.height
    asked = ("evaluate", model, "--data", wardrobe, "--split", "test")
    assert "(too_large)" in refused(*asked, "--max-pixels", str(pixels - 1))
    assert "(too_large)" in refused(*asked, "--set", f"data.max_pixels={pixels - 1}")
    assert gingham(*asked, "--max-pixels", str(pixels))[0] == 0
    submit = ("submit", model, "--data", wardrobe, "--out", wardrobe.parent / "s.zip")
    assert "(too_large)" in refused(*submit, "--max-pixels", str(pixels - 1))
    assert "--max-pixels" in refused(*asked, "--max-pixels", "0")


def test_a_file_that_crashes_the_decoder_costs_only_itself(
    gingham: Call, model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gingham("predict", model, photos, "--out", tmp_path / "here.csv")
    gingham("predict", model, photos, "--out", tmp_path / "there.csv", "--isolated")
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    monkeypatch.setattr(isolated, "_PROGRAM", hostile_worker.__name__)
    (photos / "2.png").write_bytes(b"crash")
    (photos / "3.png").write_bytes(b"exit")
    code, _, stderr = gingham("predict", model, photos, "--out", tmp_path / "crashed.csv", "--isolated")
    assert code == 4
    assert "6 images, 2 unreadable" in stderr
    whole, crashed = rows(tmp_path / "here.csv"), rows(tmp_path / "crashed.csv")
    assert {name: row["error"] for name, row in crashed.items() if row["error"]} == {
        "2.png": "unreadable",
        "3.png": "unreadable",
    }
    for name in ("0.png", "1.png", "4.png", "large.png"):
        assert crashed[name]["pattern"] == whole[name]["pattern"]
    assert json.loads((tmp_path / "crashed.csv.manifest.json").read_text())["options"]["isolated"] is True


@pytest.mark.parametrize("options", [[], ["--isolated"], ["--deterministic"]])
def test_fast_decoding_is_recorded(gingham: Call, model: Path, tmp_path: Path, options: list[str]) -> None:
    """Of large photos the confidences are nearly those of exact decoding; of small ones exactly, and it is said too."""
    for size, folder in ((500, tmp_path / "large"), (60, tmp_path / "small")):
        folder.mkdir()
        for index in range(3):
            garment(6, index, size).picture.image.save(folder / f"{index}.jpg", quality=92)
        exact, fast = tmp_path / f"{size}-exact.csv", tmp_path / f"{size}-fast.csv"
        gingham("predict", model, folder, "--out", exact, "--statistics", *options)
        gingham("predict", model, folder, "--out", fast, "--statistics", "--fast-decode", *options)
        recorded = [json.loads(Path(f"{file}.manifest.json").read_text())["options"] for file in (exact, fast)]
        assert [one["fast_decode"] for one in recorded] == [False, True]
        before, after = rows(exact), rows(fast)
        assert {row["image_width"] for row in after.values()} == {str(size)}
        columns = [f"{name}_confidence" for name in tiny.SCHEMA.names]
        differences = [abs(float(before[row][c]) - float(after[row][c])) for row in before for c in columns]
        assert (0 < max(differences) < 0.2) if size == 500 else before == after


def test_fast_evaluation_and_submission_say_so(gingham: Call, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    evaluated = tmp_path / "p.parquet"
    gingham("evaluate", model, "--data", wardrobe, "--predictions", evaluated, "--fast-decode")
    assert Predictions.from_parquet(evaluated).source["fast_decode"] is True
    code, _, stderr = gingham("submit", model, "--data", wardrobe, "--out", tmp_path / "s.zip", "--fast-decode")
    assert code == 0
    assert "decoded approximately" in stderr
    gingham("evaluate", model, "--data", wardrobe, "--predictions", evaluated)
    assert "fast_decode" not in Predictions.from_parquet(evaluated).source


def test_equal_bits_through_every_door(gingham: Call, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    tagger = Tagger.load(model, device="cpu", deterministic=True)
    table = read_labels(wardrobe).split("val")
    expected = {
        name: {key: tag.confidence for key, tag in tagger(table.path(row)).items()}
        for row, name in enumerate(table.images)
    }
    files = {kind: tmp_path / f"tags.{kind}" for kind in ("csv", "jsonl", "parquet")}
    for file in files.values():
        code, *_ = gingham("predict", model, wardrobe, "--split", "val", "--out", file, "--deterministic")
        assert code == 0
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    for found in (rows(files["csv"]).values(), lines, pq.read_table(files["parquet"]).to_pylist()):
        assert {
            row["image"]: {name: float(row[f"{name}_confidence"]) for name in tiny.SCHEMA.names} for row in found
        } == expected
    evaluated = tmp_path / "p.parquet"
    gingham("evaluate", model, "--data", wardrobe, "--predictions", evaluated, "--deterministic", "--device", "cpu")
    predictions = Predictions.from_parquet(evaluated)
    assert predictions.source["deterministic"] is True
    best = {
        name: {
            key: predictions.probabilities[row, part].max()
            for key, part in zip(tiny.SCHEMA.names, tiny.SCHEMA.slices, strict=True)
        }
        for row, name in enumerate(predictions.ids)
    }
    assert best == expected
    options = json.loads(Path(f"{files['csv']}.manifest.json").read_text())["options"]
    assert (options["deterministic"], options["batch_size"]) == (True, 1)


def test_equal_bits_in_another_process_with_more_threads(
    gingham: Call, model: Path, photos: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    gingham("predict", model, photos, "--out", here, "--deterministic")
    command = [sys.executable, "-m", "gingham", "predict", model, photos, "--out", there, "--deterministic"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "3"}, timeout=300)
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.parametrize("verb", ["predict", "evaluate", "submit"])
def test_equal_bits_and_batches_are_refused_together(
    refused: Refused, model: Path, photos: Path, wardrobe: Path, tmp_path: Path, verb: str
) -> None:
    out = tmp_path / ("out.zip" if verb == "submit" else "out.csv")
    data = {
        "predict": [photos, "--out", out],
        "evaluate": ["--data", wardrobe, "--json", out],
        "submit": ["--data", wardrobe, "--out", out],
    }[verb]
    message = refused(verb, model, *data, "--deterministic", "--batch-size", "4")
    assert "--batch-size 4: a deterministic tagger takes one image at a time" in message
    assert not out.exists()
