import csv
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.inference.panel import Panel
from gingham.inference.tagger import Tagger
from gingham.storage import sha256_file
from tests import tiny

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture
def photos(wardrobe: Path, tmp_path: Path) -> Path:
    """Four photos in two folders, and two files that only look like photos."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["b.jpg", "a.jpg", "sub/c.jpg", "d.jpg"]):
        shutil.copy(wardrobe / "img" / f"{number:05d}.jpg", folder / name)
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_one_row_an_image_in_sorted_order(gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "tags.csv"
    code, stdout, stderr = gingham("predict", model, photos, "--out", out, "--device", "cpu")
    assert code == 0
    assert stdout == ""
    assert "4 images" in stderr
    assert [row["image"] for row in rows(out)] == ["a.jpg", "b.jpg", "d.jpg", "sub/c.jpg"]
    tagger = Tagger.load(model, device="cpu")
    for row in rows(out):
        assert row["error"] == ""
        for name, tag in tagger(photos / row["image"]).items():
            assert row[name] == tag.label
            assert abs(float(row[f"{name}_confidence"]) - tag.confidence) <= 1e-5
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    assert manifest["model"] == tagger.hash
    assert manifest["schema"] == tagger.schema.to_plain()
    assert manifest["sha256"] == sha256_file(out)
    assert manifest["options"]["paths"] == [str(photos)]
    assert manifest["options"]["device"] == "cpu"


def test_unreadable_images_get_their_reason_and_code_4(
    gingham: Call, model: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "0-text.jpg").write_text("no photo")
    (photos / "e.jpg").write_bytes((photos / "a.jpg").read_bytes()[:5000])
    code, _, stderr = gingham("predict", model, photos, "--out", tmp_path / "tags.csv")
    assert code == 4
    assert "6 images, 2 unreadable" in stderr
    found = {row["image"]: row for row in rows(tmp_path / "tags.csv")}
    assert {name: row["error"] for name, row in found.items()} == {
        "0-text.jpg": "unreadable",
        "a.jpg": "",
        "b.jpg": "",
        "d.jpg": "",
        "e.jpg": "truncated",
        "sub/c.jpg": "",
    }
    assert found["0-text.jpg"]["pattern"] == ""
    assert found["sub/c.jpg"]["pattern"] != ""
    assert json.loads((tmp_path / "tags.csv.manifest.json").read_text())["unreadable"] == 2


def test_a_run_is_its_best_and_files_can_be_named(gingham: Call, photos: Path, tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "run")
    code, *_ = gingham("predict", run, photos / "b.jpg", photos / "sub", "--out", tmp_path / "tags.csv")
    assert code == 0
    assert [row["image"] for row in rows(tmp_path / "tags.csv")] == ["b.jpg", "c.jpg"]


def test_a_model_of_boxes_warns_once_without_any(
    gingham: Call, box_model: Path, model: Path, photos: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, stderr = gingham("predict", box_model, photos, "--out", tmp_path / "tags.csv")
    assert code == 0
    assert stderr.count("warning: ") == 1
    assert "the whole image is used" in stderr
    gingham("predict", model, photos, "--out", tmp_path / "whole.csv")
    assert rows(tmp_path / "tags.csv") == rows(tmp_path / "whole.csv")


def test_boxes_count_and_bad_ones_are_named(
    gingham: Call, box_model: Path, model: Path, photos: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "image,x1,y1,x2,y2\na.jpg,50,40,200,210\nb.jpg,400,10,500,90\nd.jpg,0,0,300,300\nsub/c.jpg,9,9,99,99\n"
    )
    code, _, stderr = gingham("predict", box_model, photos, "--boxes", boxes, "--out", tmp_path / "tags.csv")
    assert code == 4
    assert "warning" not in stderr
    found = {row["image"]: row for row in rows(tmp_path / "tags.csv")}
    assert {name: row["error"] for name, row in found.items()} == {
        "a.jpg": "",
        "b.jpg": "bad_box",
        "d.jpg": "",
        "sub/c.jpg": "",
    }
    gingham("predict", model, photos, "--out", tmp_path / "whole.csv")
    whole = {row["image"]: row for row in rows(tmp_path / "whole.csv")}
    assert found["d.jpg"] == whole["d.jpg"]
    assert found["a.jpg"] != whole["a.jpg"]
    _, _, stderr = gingham("predict", model, photos, "--boxes", boxes, "--out", tmp_path / "tags.csv")
    assert "without effect" in stderr


def test_a_split_of_labelled_data(gingham: Call, box_model: Path, wardrobe: Path, tmp_path: Path) -> None:
    code, _, stderr = gingham("predict", box_model, wardrobe, "--split", "test", "--out", tmp_path / "t.jsonl")
    assert code == 0
    assert "warning" not in stderr
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == (wardrobe / "split" / "test.txt").read_text().split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{photos}", "--out", "{out}"], "nowhere: no such folder; MODEL is a bundle"),
        (["{photos}", "{photos}", "--out", "{out}"], "neither a bundle (no config.json) nor a run"),
        (["{model}", "nowhere", "--out", "{out}"], "nowhere: no such file or folder"),
        (["{model}", "{photos}/empty", "--out", "{out}"], "no images in"),
        (["{model}", "{photos}", "--out", "tags.xlsx"], "the ending must be one of .csv, .parquet, .jsonl"),
        (["{model}", "{photos}", "--out", "{photos}"], "is a directory"),
        (["{model}", "{photos}", "--out", "{photos}/a.jpg/t.csv"], "a.jpg is not a folder"),
        (["{model}", "{photos}", "--out", "{boxes}", "--boxes", "{boxes}"], "would replace what is read"),
        (["{model}", "{photos}", "--out", "{out}", "--boxes", "nowhere.csv"], "nowhere.csv: no such file"),
        (["{model}", "{photos}", "--out", "{out}", "--boxes", "{boxes}"], "none of its 1 boxes"),
        (["{model}", "{photos}", "--out", "{out}", "--device", "tpu"], "--device tpu: not on this machine"),
        (["{model}", "{photos}", "--out", "{out}", "--set", "data.image_column=x"], "--split"),
        (["{model}", "{photos}", "--out", "{out}", "--split", "val"], "no labels found"),
        (["{model}", "{photos}", "--out", "{out}", "--batch-size", "0"], "--batch-size"),
        (["{model}", "{photos}", "--out", "{out}", "--batch-sise", "4"], "--batch-size"),
        (["{model}", "{photos}"], "--out"),
        (["{model}"], "PATH"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    refused: Refused,
    model: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "empty").mkdir()
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x1,y1,x2,y2\nother.jpg,1,2,3,4\n")
    places = {"model": model, "photos": photos, "out": tmp_path / "tags.csv", "boxes": boxes}
    before = sorted(tmp_path.rglob("*"))
    content = boxes.read_text()
    assert message in refused("predict", *(argument.format(**places) for argument in arguments))
    assert sorted(tmp_path.rglob("*")) == before
    assert boxes.read_text() == content


def test_a_damaged_model_is_refused(refused: Refused, model: Path, photos: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    data = bytearray((spoilt / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (spoilt / "model.safetensors").write_bytes(bytes(data))
    message = refused("predict", spoilt, photos, "--out", tmp_path / "tags.csv")
    assert "model.safetensors: its SHA-256 differs" in message
    (spoilt / "model.safetensors").unlink()
    (spoilt / "model.safetensors").symlink_to(model / "model.safetensors")
    assert "points outside the folder" in refused("predict", spoilt, photos, "--out", tmp_path / "tags.csv")
    assert not (tmp_path / "tags.csv").exists()


def test_ctrl_c_leaves_no_file(
    gingham: Call, model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Panel, network: object, views: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Panel, "_forward", interrupted)
    (tmp_path / "out").mkdir()
    code, _, stderr = gingham("predict", model, photos, "--out", tmp_path / "out" / "tags.parquet")
    assert code == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_file_names_that_are_no_utf8(gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    try:
        (photos / "a.jpg").rename(photos / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    code, *_ = gingham("predict", model, photos, "--out", tmp_path / "tags.csv")
    assert code == 0
    assert "caf\\udce9.jpg" in [row["image"] for row in rows(tmp_path / "tags.csv")]


def test_another_folder_is_made_for_the_output(gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep" / "tags.parquet"
    assert gingham("predict", model, photos, "--out", out)[0] == 0
    assert sorted(entry.name for entry in out.parent.iterdir()) == ["tags.parquet", "tags.parquet.manifest.json"]


@pytest.mark.filterwarnings("ignore::gingham.inference.tagger.MissingBoxWarning")
def test_a_table_of_images_with_boxes_is_tagged(gingham: Call, box_model: Path, wardrobe: Path, tmp_path: Path) -> None:
    names = [f"img/{number:05d}.jpg" for number in (3, 1, 2)]
    lines = ["image,price,x1,y1,x2,y2", *(f"{name},9,100,60,200,240" for name in names[:2]), f"{names[2]},9,,,,"]
    (wardrobe / "products.csv").write_text("\n".join(lines))
    (tmp_path / "boxes.csv").write_text(
        "\n".join(["image,x1,y1,x2,y2", *(f"{name},100,60,200,240" for name in names[:2])])
    )
    try:
        assert gingham("predict", box_model, wardrobe / "products.csv", "--out", tmp_path / "listed.csv")[0] == 0
    finally:
        (wardrobe / "products.csv").unlink()
    paths = [wardrobe / name for name in names]
    gingham("predict", box_model, *paths, "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "given.csv")
    listed, given = ((tmp_path / f"{name}.csv").read_text().splitlines() for name in ("listed", "given"))
    assert [line.split(",")[0].strip('"') for line in listed[1:]] == sorted(names)
    assert [line.split(",")[1:] for line in listed] == [line.split(",")[1:] for line in given]
