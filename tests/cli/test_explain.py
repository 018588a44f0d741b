"""`gingham explain` and `gingham faithfulness`: what they write, and what they refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.inference.tagger import Tagger
from gingham.storage import sha256_file

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture
def photos(wardrobe: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.jpg", "sub/a.jpg"]):
        shutil.copy(wardrobe / "img" / f"{number:05d}.jpg", folder / name)
    return folder


def test_a_picture_of_one_photo(gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "a.png", sha256_file(photos / "a.jpg")
    code, stdout, stderr = gingham("explain", model, photos / "a.jpg", "--out", out, "--device", "cpu")
    assert (code, stdout) == (0, "")
    assert "1 image\n" in stderr
    with Image.open(out) as picture:
        picture.load()
        wide, high = picture.size
    assert 1000 < high < wide < 4000
    assert sha256_file(photos / "a.jpg") == before


def test_arrays_of_several(gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    assert gingham("explain", model, photos, "--out", out, "--device", "cpu", "--attribute", "fit")[0] == 0
    tagger = Tagger.load(model, device="cpu")
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == ["a.jpg", "sub/a.jpg"]
        assert arrays["attributes"].tolist() == ["fit"]
        for number, name in enumerate(arrays["ids"]):
            found = tagger.explain(photos / str(name)).of(("fit",))
            np.testing.assert_array_equal(arrays[f"attention_{number}"], found.attention)
            np.testing.assert_allclose(arrays[f"occlusion_{number}"], found.occlusion, atol=1e-5)
            np.testing.assert_array_equal(arrays[f"picture_{number}"], found.picture)
            assert arrays["labels"][number].tolist() == list(found.labels)
            np.testing.assert_allclose(arrays["confidence"][number], found.confidence)


def test_a_folder_has_a_picture_of_each_that_can_be_read(
    gingham: Call, model: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "b.jpg").write_text("no photo")
    out = tmp_path / "explained"
    code, _, stderr = gingham("explain", model, photos, "--out", out, "--no-occlusion")
    assert code == 4
    assert "left out: " in stderr
    assert "2 images, 1 unreadable" in stderr
    assert sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png")) == ["a.jpg.png", "sub/a.jpg.png"]
    both = tmp_path / "both.png"
    assert gingham("explain", model, photos, "--out", both, "--no-occlusion", "--attribute", "fit")[0] == 4
    with Image.open(out / "a.jpg.png") as one, Image.open(both) as sheet:
        assert sheet.width < one.width


def test_boxes_are_looked_at(gingham: Call, box_model: Path, model: Path, photos: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x1,y1,x2,y2\na.jpg,100,50,200,250\n")
    arguments = ["--out", tmp_path / "a.npz", "--no-occlusion", "--boxes", boxes]
    assert gingham("explain", box_model, photos / "a.jpg", *arguments)[0] == 0
    with np.load(tmp_path / "a.npz") as arrays:
        attention = arrays["attention_0"]
        width = arrays["picture_0"].shape[1]
    columns = attention.shape[2]
    # The margin of the box is a tenth of its sides, and nothing is seen beyond it.
    right = (np.arange(columns) + 0.5) * width / columns > 215
    assert attention[:, :, right].max() == 0
    assert attention.sum() == pytest.approx(len(attention), abs=1e-4)
    code, _, stderr = gingham("explain", model, photos / "a.jpg", *arguments)
    assert code == 0
    assert "without effect, this model looks at whole images" in stderr


def test_what_is_refused(refused: Refused, gingham: Call, model: Path, photos: Path, tmp_path: Path) -> None:
    photo, png = photos / "a.jpg", tmp_path / "a.png"
    assert "must be .png or .npz" in refused("explain", model, photo, "--out", tmp_path / "a.jpg")
    assert "has pattern, sleeve" in refused("explain", model, photo, "--out", png, "--attribute", "colour")
    assert "no such file or folder" in refused("explain", model, tmp_path / "none.jpg", "--out", png)
    assert "would replace what is read" in refused("explain", model, photo, "--out", photo)
    assert "is not an empty folder" in refused("explain", model, photo, "--out", photos)
    assert "no such folder" in refused("explain", tmp_path / "none", photo, "--out", png)
    assert "Missing option '--out'" in refused("explain", model, photo)
    (photos / "b.jpg").write_text("no photo")
    assert "not a readable image" in refused("explain", model, photos / "b.jpg", "--out", png)
    assert not png.exists()


def test_one_file_has_room_for_twenty(refused: Refused, model: Path, photos: Path, tmp_path: Path) -> None:
    for number in range(20):
        shutil.copy(photos / "a.jpg", photos / f"{number}.jpg")
    assert "22 images, and one file holds 20" in refused("explain", model, photos, "--out", tmp_path / "a.png")


def test_names_from_a_table_stay_in_the_folder(
    gingham: Call, refused: Refused, model: Path, photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "photos" / "sub" / "list.csv"
    table.write_text("image\n../a.jpg\na.jpg\n")
    assert "would have the same picture" in refused("explain", model, table, "--out", tmp_path / "out")
    table.write_text(f"image\n../a.jpg\n{photos}/sub/a.jpg\n")
    assert gingham("explain", model, table, "--out", tmp_path / "out", "--no-occlusion")[0] == 0
    written = list(tmp_path.rglob("*.png"))
    assert len(written) == 2
    assert all(file.is_relative_to(tmp_path / "out") for file in written)


def test_faithfulness_of_a_split(gingham: Call, refused: Refused, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.json"
    arguments = ["faithfulness", model, "--data", wardrobe, "--images", "2", "--steps", "2", "--device", "cpu"]
    code, stdout, _ = gingham(*arguments, "--map", "attention", "--map", "random", "--out", out)
    assert code == 0
    assert "2 images" in stdout
    assert "attention - random" in stdout
    found = json.loads(out.read_text())
    assert found["images"] == found["boxes"] == 2
    assert set(found["means"]) == {"attention", "random"}
    assert 0 < found["means"]["attention"]["deletion"]["mean"] < 1
    again = gingham(*arguments, "--map", "random", "--map", "attention")[1]
    assert again == stdout
    assert "no split 'nowhere'" in refused(*arguments, "--split", "nowhere")
    assert "must be .json" in refused(*arguments, "--out", tmp_path / "f.csv")
