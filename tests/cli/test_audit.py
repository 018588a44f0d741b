import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Call = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


@pytest.fixture
def spoilt(wardrobe: Path, tmp_path: Path) -> Path:
    """A copy of the wardrobe that a test may damage."""
    return Path(shutil.copytree(wardrobe, tmp_path / "spoilt"))


def test_a_clean_data_set_leaves_zero(gingham: Call, wardrobe: Path, tmp_path: Path) -> None:
    report, page = tmp_path / "new" / "report.json", tmp_path / "page.html"
    code, stdout, stderr = gingham("audit", "--data", wardrobe, "--json", report, "--html", page)
    assert code == 0
    assert "      20  images" in stdout
    assert "error" not in stderr
    plain = json.loads(report.read_text())
    assert plain["counts"]["unreadable"] == plain["counts"]["pairs_across_splits"] == 0
    assert plain["data"] == str(wardrobe)
    assert plain["model"] is None
    assert page.read_text().startswith("<!doctype html>")
    assert gingham("audit", "--data", wardrobe)[0] == 0, "neither file has to be written"


def test_unreadable_images_leave_four_and_a_whole_report(gingham: Call, spoilt: Path, tmp_path: Path) -> None:
    (spoilt / "img" / "00003.jpg").write_text("not a picture")
    with Image.open(spoilt / "img" / "00001.jpg") as image:
        image.save(spoilt / "img" / "00018.jpg", format="PNG")
    before = {file: file.read_bytes() for file in spoilt.rglob("*") if file.is_file()}
    code, stdout, _ = gingham("audit", "--data", spoilt, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    assert code == 4
    assert "       1  unreadable\n" in stdout
    plain = json.loads((tmp_path / "a.json").read_text())
    assert plain["unreadable"] == [
        {
            "image": "img/00003.jpg",
            "split": "train",
            "reason": "unreadable",
            "text": "not a readable image (none of JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF)",
        }
    ]
    assert plain["identical"] == [["img/00001.jpg", "img/00018.jpg"]]
    assert [entry["image"] for entry in plain["odd"]["misnamed"]] == ["img/00018.jpg"]
    assert "img/00003.jpg" in (tmp_path / "a.html").read_text()
    assert before == {file: file.read_bytes() for file in spoilt.rglob("*") if file.is_file()}


def test_a_model_looks_for_label_errors(gingham: Call, wardrobe: Path, box_model: Path, tmp_path: Path) -> None:
    """Twenty garments: enough for the attributes with few classes."""
    code, stdout, _ = gingham("audit", "--data", wardrobe, "--model", box_model, "--json", tmp_path / "a.json")
    assert code == 0
    assert "likely label errors" in stdout
    plain = json.loads((tmp_path / "a.json").read_text())
    assert set(plain["label_errors"]) == {"pattern", "sleeve", "length", "neckline", "fabric", "fit"}
    sleeve = plain["label_errors"]["sleeve"]
    assert 0 < sleeve["judged"] <= 20
    scores = [entry["score"] for entry in plain["ranked_label_errors"]]
    assert scores == sorted(scores)
    assert len(scores) == sum(len(part["candidates"]) for part in plain["label_errors"].values())


def test_a_box_beside_its_image_is_a_finding_for_a_model_of_boxes(gingham: Call, spoilt: Path, box_model: Path) -> None:
    boxes = spoilt / "split" / "train_bbox.txt"
    boxes.write_text("\n".join(["900 900 950 950", *boxes.read_text().splitlines()[1:]]) + "\n")
    code, stdout, _ = gingham("audit", "--data", spoilt, "--model", box_model)
    assert code == 0
    assert "       1  boxes outside" in stdout


def test_without_cleanlab_it_is_said_before_the_work(
    refused: Refused, wardrobe: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    message = refused("audit", "--data", wardrobe, "--model", model, "--json", tmp_path / "a.json")
    assert "pip install 'gingham[audit]'" in message
    assert not (tmp_path / "a.json").exists()


def test_wrong_calls(refused: Refused, gingham: Call, wardrobe: Path, tmp_path: Path) -> None:
    assert "--data" in gingham("audit")[2]
    assert "no such file or folder" in refused("audit", "--data", tmp_path / "nothing")
    assert "the same file as --json" in refused(
        "audit", "--data", wardrobe, "--json", tmp_path / "a", "--html", tmp_path / "a"
    )
    assert "neither a bundle" in refused("audit", "--data", wardrobe, "--model", wardrobe)
    assert "not a folder" in gingham("audit", "--data", wardrobe, "--html", Path(__file__) / "a.html")[2]


def test_nothing_but_unreadable_images(gingham: Call, refused: Refused, model: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_text("broken")
    (tmp_path / "labels.csv").write_text("image,hue,split\n0.png,red,train\n1.png,blue,train\n2.png,red,val\n")
    code, stdout, _ = gingham("audit", "--data", tmp_path, "--html", tmp_path / "page.html")
    assert code == 4
    assert "       3  unreadable" in stdout
    assert "no readable image with a label" in refused("audit", "--data", tmp_path, "--model", model)
