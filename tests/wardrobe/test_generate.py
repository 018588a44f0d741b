from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, chisquare

from gingham.errors import DataError
from gingham.wardrobe import CLASSES, FEWEST, draw_labels, garment, generate

COUNTS = [len(classes) for classes in CLASSES.values()]


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wardrobe") / "out"
    generate(out, 20, 4, size=64)
    return out


def lines(folder: Path, name: str) -> list[str]:
    return (folder / "split" / name).read_text(encoding="utf-8").splitlines()


def test_the_layout_is_the_challenges(wardrobe: Path) -> None:
    assert sorted(path.name for path in wardrobe.iterdir()) == ["img", "split"]
    assert len(list((wardrobe / "img").iterdir())) == 20
    for part, size in (("train", 14), ("val", 3), ("test", 3)):
        assert [len(lines(wardrobe, f"{part}{end}.txt")) for end in ("", "_attr", "_bbox")] == [size] * 3
    parts = [path for part in ("train", "val", "test") for path in lines(wardrobe, f"{part}.txt")]
    assert parts == [f"img/{index:05d}.jpg" for index in range(20)]


def test_the_class_list_is_the_challenges(wardrobe: Path) -> None:
    found = lines(wardrobe, "list_attr_cloth.txt")
    assert found[:2] == ["26", "attribute_name   attribute_type"]
    assert [line.split() for line in found[2:]] == [
        [name, str(number)] for number, classes in enumerate(CLASSES.values(), start=1) for name in classes
    ]
    assert found[2] == "floral               1"


def test_lists_and_pictures_are_those_of_the_garments(wardrobe: Path) -> None:
    labels = [line for part in ("train", "val", "test") for line in lines(wardrobe, f"{part}_attr.txt")]
    boxes = [line for part in ("train", "val", "test") for line in lines(wardrobe, f"{part}_bbox.txt")]
    for index in (0, 13, 19):
        piece = garment(4, index, 64)
        assert labels[index] == " ".join(map(str, piece.labels))
        assert boxes[index] == " ".join(f"{edge:03d}" for edge in piece.picture.box)
        with Image.open(wardrobe / "img" / f"{index:05d}.jpg") as stored:
            assert stored.format == "JPEG"
            apart = np.asarray(stored, dtype=float) - np.asarray(piece.picture.image, dtype=float)
        assert np.abs(apart).mean() < 6.0


def test_more_processes_and_a_larger_count_give_the_same_pictures(wardrobe: Path, tmp_path: Path) -> None:
    generate(tmp_path / "two", 24, 4, size=64, processes=2)
    for index in range(20):
        name = f"{index:05d}.jpg"
        assert (tmp_path / "two" / "img" / name).read_bytes() == (wardrobe / "img" / name).read_bytes()


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[int] = []
    generate(tmp_path / "out", FEWEST, 0, size=32, progress=seen.append)
    assert seen == list(range(1, FEWEST + 1))
    for part in ("train", "val", "test"):
        assert lines(tmp_path / "out", f"{part}.txt")


def test_an_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=r"not an empty folder; remove it or name another place") as caught:
        generate(tmp_path, 10, 0)
    assert str(tmp_path) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="not an empty folder"):
        generate(tmp_path / "out", 10, 0)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    generate(tmp_path / "out", FEWEST, 0, size=32)
    assert (tmp_path / "out" / "split" / "train.txt").exists()


def test_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="6 garments are too few to split; ask for at least 7"):
        generate(tmp_path / "out", 6, 0)


def test_an_interrupted_wardrobe_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "out", 10, 0, size=32, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_labels_are_uniform_and_independent() -> None:
    labels = draw_labels(6000, 0)
    assert labels.shape == (6000, 6)
    assert labels.dtype == np.int64
    for first, classes in enumerate(COUNTS):
        counts = np.bincount(labels[:, first], minlength=classes)
        assert len(counts) == classes
        assert chisquare(counts).pvalue > 1e-4
        for second in range(first):
            table = np.zeros((classes, COUNTS[second]))
            np.add.at(table, (labels[:, first], labels[:, second]), 1)
            assert chi2_contingency(table).pvalue > 1e-4


def test_labels_of_a_larger_wardrobe_begin_with_a_smaller_ones() -> None:
    assert np.array_equal(draw_labels(50, 9)[:20], draw_labels(20, 9))
    assert draw_labels(0, 9).shape == (0, 6)
