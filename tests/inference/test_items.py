import os
from pathlib import Path

import numpy as np
import pytest

from gingham.data.options import DataOptions
from gingham.errors import DataError, UserError
from gingham.inference.items import gather_items, printable
from gingham.inference.tagger import Item
from tests.ears import Ears


def gather(*paths: Path, boxes: Path | None = None, split: str | None = None, heard: Ears | None = None) -> list[Item]:
    return gather_items(paths, boxes=boxes, split=split, options=DataOptions(), reporter=heard or Ears())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a/2.PNG", "a/10.jpg", "a/deep/1.jpg", "notes.txt"):
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text("")
    return tmp_path / "shop"


def box_table(file: Path, *names: str) -> Path:
    file.write_text("image,x1,y1,x2,y2\n" + "".join(f"{name},1,2,3,{4 + n}\n" for n, name in enumerate(names)))
    return file


def test_images_are_sorted_and_named_below_the_folder(folder: Path) -> None:
    items = gather(folder)
    assert [item.id for item in items] == ["a/10.jpg", "a/2.PNG", "a/deep/1.jpg", "b.jpg"]
    assert [item.source for item in items] == [folder / item.id for item in items]
    assert all(item.box is None for item in items)
    assert [item.id for item in gather(folder / "b.jpg", folder / "a" / "10.jpg")] == ["10.jpg", "b.jpg"]


def test_boxes_by_name_or_by_a_longer_or_shorter_one(folder: Path, tmp_path: Path) -> None:
    file = box_table(tmp_path / "boxes.csv", "a/10.jpg", "shop/a/2.PNG", str(folder / "b.jpg"), "deep/1.jpg")
    items = gather(folder, boxes=file)
    assert [item.box.tolist() for item in items if item.box is not None] == [
        [1, 2, 3, 4],
        [1, 2, 3, 5],
        [1, 2, 3, 7],
        [1, 2, 3, 6],
    ]


def test_missing_and_superfluous_boxes_are_told(folder: Path, tmp_path: Path) -> None:
    heard = Ears()
    gather(folder, boxes=box_table(tmp_path / "boxes.csv", "b.jpg", "c.jpg", "d.jpg"), heard=heard)
    assert "warning" in heard.lines[0]
    assert "no box for 3 of 4 images" in heard.lines[0]
    assert "2 boxes are of images that are not tagged here" in heard.lines[1]
    with pytest.raises(DataError, match="none of its 1 boxes is of one of the 4 images"):
        gather(folder, boxes=box_table(tmp_path / "boxes.csv", "c.jpg"))


def test_a_box_is_never_given_to_an_image_that_is_merely_called_alike(folder: Path, tmp_path: Path) -> None:
    (folder / "10.jpg").write_text("")
    items = {item.id: item.box for item in gather(folder, boxes=box_table(tmp_path / "boxes.csv", "10.jpg"))}
    assert items["10.jpg"] is not None
    assert items["a/10.jpg"] is None
    (folder / "10.jpg").unlink()
    (folder / "c").mkdir()
    (folder / "c" / "10.jpg").write_text("")
    with pytest.raises(DataError, match=r"boxes.csv: '10.jpg' could be a/10.jpg or c/10.jpg"):
        gather(folder, boxes=box_table(tmp_path / "boxes.csv", "10.jpg"))


def test_a_split_of_a_data_set_brings_its_boxes(wardrobe: Path) -> None:
    items = gather(wardrobe, split="test")
    assert [item.id for item in items] == sorted(item.id for item in items)
    assert len(items) == 3
    assert all(item.box is not None and np.isfinite(item.box).all() for item in items)


def test_wrong_paths_are_named(folder: Path, tmp_path: Path, wardrobe: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        gather(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images in .*empty"):
        gather(tmp_path / "empty")
    with pytest.raises(UserError, match="--split: give one PATH"):
        gather(wardrobe, folder, split="test")
    with pytest.raises(DataError, match="no split 'tset'; there are train, val, test"):
        gather(wardrobe, split="tset")


def test_names_become_text() -> None:
    assert printable("é/ü.jpg") == "é/ü.jpg"
    assert printable(os.fsdecode(b"\xff.jpg")) == "\\udcff.jpg"
