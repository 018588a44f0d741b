import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham.data.formats import infer_schema, read_labels
from gingham.data.options import DataOptions
from gingham.errors import DataError, RecipeError, SchemaError
from gingham.schema import AttributeSchema
from tests.data.builders import CLASS_LIST, ROWS, deepfashion, photo, problem, write_lines

TARGETS = [[int(field) for field in row.split()] for rows in ROWS.values() for row in rows] + [[-1] * 6] * 2
SPLITS = ("train",) * 3 + ("val",) * 2 + ("test",) * 2


def prepend(*lines: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text("".join(line + "\n" for line in lines) + path.read_text())

    return change


def respaced(path: Path) -> None:
    path.write_text("".join(f" \t{line.replace(' ', chr(9) + '  ')} \r\n" for line in path.read_text().splitlines()))


def add_headers(folder: Path) -> None:
    for split in ("train", "val", "test"):
        prepend("picture_filename")(folder / f"{split}.txt")
        prepend("x_1 y_1 x_2 y_2")(folder / f"{split}_bbox.txt")
    for split in ("train", "val"):
        prepend("category1 category2 category3 category4 category5 category6")(folder / f"{split}_attr.txt")


def add_counts(folder: Path) -> None:
    for path in folder.glob("t*.txt"):
        prepend(str(len(path.read_text().splitlines())))(path)


def add_counts_and_headers(folder: Path) -> None:
    add_headers(folder)
    for path in [*folder.glob("t*.txt"), *folder.glob("v*.txt")]:
        prepend(str(len(path.read_text().splitlines()) - 1))(path)


def respace(folder: Path) -> None:
    for path in folder.glob("*.txt"):
        respaced(path)


def add_byte_order_marks(folder: Path) -> None:
    for path in folder.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def end_with_empty_lines(folder: Path) -> None:
    for path in folder.glob("*.txt"):
        path.write_text(path.read_text() + "\n \n")


def end_without_newline(folder: Path) -> None:
    for path in folder.glob("*.txt"):
        path.write_text(path.read_text().rstrip("\n"))


def add_landmarks(folder: Path) -> None:
    write_lines(folder / "train_landmards.txt", ["1 2 0 0"])
    write_lines(folder / "train_landmarks.txt", ["1 2 0 0"])


def drop_class_list(folder: Path) -> None:
    (folder / "list_attr_cloth.txt").unlink()


def class_list_without_head(folder: Path) -> None:
    write_lines(folder / "list_attr_cloth.txt", CLASS_LIST.splitlines()[2:])


@pytest.mark.parametrize("lists", ["split", "Anno_fine", "."])
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: None,
        add_headers,
        add_counts,
        add_counts_and_headers,
        respace,
        add_byte_order_marks,
        end_with_empty_lines,
        end_without_newline,
        add_landmarks,
        drop_class_list,
        class_list_without_head,
    ],
    ids=lambda change: change.__name__,
)
def test_every_variant_reads_the_same(tmp_path: Path, lists: str, change: Callable[[Path], None]) -> None:
    change(deepfashion(tmp_path, lists))
    labels = read_labels(tmp_path)
    assert labels.schema == AttributeSchema.builtin("deepfashion")
    assert labels.root == tmp_path
    assert labels.images == tuple(f"img/{number:05}.jpg" for number in range(7))
    assert labels.splits == SPLITS
    assert labels.targets.dtype == np.int64
    np.testing.assert_array_equal(labels.targets, TARGETS)
    assert labels.boxes is not None
    assert labels.boxes.dtype == np.float32
    np.testing.assert_array_equal(labels.boxes[:, 1], [0, 1, 2, 0, 1, 0, 1])
    np.testing.assert_array_equal(labels.boxes[:, 2], [7] * 7)


def test_without_boxes(tmp_path: Path) -> None:
    deepfashion(tmp_path, boxes=False)
    assert read_labels(tmp_path).boxes is None


def test_boxes_of_some_splits(tmp_path: Path) -> None:
    (deepfashion(tmp_path) / "val_bbox.txt").unlink()
    boxes = read_labels(tmp_path).boxes
    assert boxes is not None
    assert np.isnan(boxes).all(axis=1).tolist() == [False, False, False, True, True, False, False]


@pytest.mark.parametrize("image_folder", ["img", "Img/img", "Anno_fine/img"])
def test_where_the_image_folder_may_be(tmp_path: Path, image_folder: str) -> None:
    deepfashion(tmp_path, "Anno_fine", image_folder=image_folder)
    assert read_labels(tmp_path).path(0) == tmp_path / image_folder / "00000.jpg"
    # The folder of the lists may be given as well as the one above it.
    assert read_labels(tmp_path / "Anno_fine").path(0) == tmp_path / image_folder / "00000.jpg"


def test_image_root(tmp_path: Path) -> None:
    deepfashion(tmp_path / "lists", image_folder="../photos/img")
    labels = read_labels(tmp_path / "lists", DataOptions(image_root=str(tmp_path / "photos")))
    assert labels.root == tmp_path / "photos"


def test_test_split_with_labels(tmp_path: Path) -> None:
    write_lines(deepfashion(tmp_path) / "test_attr.txt", ["0 0 0 0 0 0", "6 2 2 3 5 2"])
    assert read_labels(tmp_path).split("test").targets.tolist() == [[0] * 6, [6, 2, 2, 3, 5, 2]]


def test_unlabelled_values(tmp_path: Path) -> None:
    write_lines(deepfashion(tmp_path) / "val_attr.txt", ["1 1 1 2 0 -1", "6 0 2 0 5 2"])
    assert "val_attr.txt:1: attribute 'fit' has label -1, expected 0..2" in problem(tmp_path)
    assert read_labels(tmp_path, DataOptions(unlabelled=("-1",))).split("val").targets[0, 5] == -1


def test_absent_split(tmp_path: Path) -> None:
    folder = deepfashion(tmp_path)
    for path in folder.glob("val*"):
        path.unlink()
    labels = read_labels(tmp_path)
    assert labels.split_names == ("train", "test")
    with pytest.raises(DataError, match="no split 'val'; there are train, test"):
        labels.split("val")


def test_more_labels_than_images(tmp_path: Path) -> None:
    deepfashion(tmp_path)
    prepend("0 0 0 0 0 0")(tmp_path / "split/train_attr.txt")
    assert problem(tmp_path) == (
        "split/train_attr.txt:4: one row too many: it has 4 rows, but split/train.txt lists 3 images; each needs one"
    )


def test_fewer_boxes_than_images(tmp_path: Path) -> None:
    deepfashion(tmp_path)
    write_lines(tmp_path / "split/val_bbox.txt", ["1 2 3 4"])
    assert (
        problem(tmp_path)
        == "split/val_bbox.txt:1: the last row: it has 1 rows, but split/val.txt lists 2 images; each needs one"
    )


@pytest.mark.parametrize(
    ("name", "line", "text", "expected"),
    [
        ("train_attr", 2, "5 0 0 1 9 2", "split/train_attr.txt:2: attribute 'fabric' has label 9, expected 0..5"),
        ("train_attr", 3, "7 0 0 1 2 2", "split/train_attr.txt:3: attribute 'pattern' has label 7, expected 0..6"),
        ("val_attr", 1, "1 1 x 2 0 2", "split/val_attr.txt:1: attribute 'length' has 'x', expected 0..2"),
        ("val_attr", 1, "1 1 1.0 2 0 2", "split/val_attr.txt:1: attribute 'length' has '1.0', expected 0..2"),
        (
            "val_attr",
            2,
            "1 1 1 2 0",
            "split/val_attr.txt:2: 5 labels, expected 6: pattern, sleeve, length, neckline, fabric, fit",
        ),
        ("train", 2, "", "split/train.txt:2: empty line; remove it, here and in the files that go with it"),
        (
            "val_bbox",
            2,
            "1 2 3",
            "split/val_bbox.txt:2: expected a box of four numbers x1 y1 x2 y2, got '1 2 3'",
        ),
        ("val_bbox", 1, "5 5 5 9", "split/val_bbox.txt:1: the box '5 5 5 9' has no area; expected x1 < x2 and y1 < y2"),
        ("val_bbox", 1, "5 5 7 nan", "split/val_bbox.txt:1: the box '5 5 7 nan' holds a number that is not finite"),
        (
            "train",
            3,
            "img/00000.jpg",
            "split/train.txt:3: image 'img/00000.jpg' is listed already at split/train.txt:1; remove one",
        ),
        (
            "val",
            1,
            "img/00000.jpg",
            "split/val.txt:1: image 'img/00000.jpg' is listed already at split/train.txt:1; remove one",
        ),
    ],
)
def test_malformed_line(tmp_path: Path, name: str, line: int, text: str, expected: str) -> None:
    path = deepfashion(tmp_path) / f"{name}.txt"
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    write_lines(path, lines)
    assert problem(tmp_path) == expected


def test_line_numbers_count_header_lines(tmp_path: Path) -> None:
    folder = deepfashion(tmp_path)
    write_lines(folder / "val_attr.txt", ["2", "category1 category2", "1 1 1 2 0 2", "1 1 1 2 0 3"])
    assert problem(tmp_path) == "split/val_attr.txt:4: attribute 'fit' has label 3, expected 0..2"


def test_count_that_is_wrong(tmp_path: Path) -> None:
    prepend("4")(deepfashion(tmp_path) / "train.txt")
    assert problem(tmp_path) == "split/train.txt:1: the count is 4, but 3 lines follow; is the file cut off?"


def test_missing_images(tmp_path: Path) -> None:
    deepfashion(tmp_path)
    (tmp_path / "img/00001.jpg").unlink()
    assert problem(tmp_path).startswith("split/train.txt:2: image 'img/00001.jpg' is not in ")
    (tmp_path / "img/00004.jpg").unlink()
    assert "(the first of 2 missing files)" in problem(tmp_path)


def test_missing_labels(tmp_path: Path) -> None:
    (deepfashion(tmp_path) / "val_attr.txt").unlink()
    assert problem(tmp_path) == "split/val_attr.txt: no such file; split/val.txt needs the labels of its images there"


@pytest.mark.parametrize("text", ["", "\n\n", "picture_filename\n"])
def test_empty_split(tmp_path: Path, text: str) -> None:
    (deepfashion(tmp_path) / "val.txt").write_text(text)
    assert problem(tmp_path) == "split/val.txt: it lists nothing"


def test_not_text(tmp_path: Path) -> None:
    (deepfashion(tmp_path) / "val.txt").write_bytes(b"img/\xff.jpg\n")
    assert problem(tmp_path).startswith("split/val.txt: cannot be read as UTF-8 text")


def test_class_list_of_other_classes_needs_a_schema(tmp_path: Path) -> None:
    folder = deepfashion(tmp_path)
    (folder / "list_attr_cloth.txt").write_text(CLASS_LIST.replace("denim  ", "jeans  "))
    message = problem(tmp_path)
    assert message.startswith("split/list_attr_cloth.txt: attribute 5 has the classes jeans, chiffon, ")
    assert message.endswith("for 'fabric'; name the schema of this data in data.schema_file")
    schema = AttributeSchema.builtin("deepfashion").to_plain()
    schema["fabric"][0] = "jeans"
    file = tmp_path / "schema.yaml"
    file.write_text("".join(f"{name}: [{', '.join(classes)}]\n" for name, classes in schema.items()))
    options = DataOptions(schema_file=str(file))
    assert read_labels(tmp_path, options).schema["fabric"].classes[0] == "jeans"
    assert infer_schema(tmp_path, options) == read_labels(tmp_path, options).schema
    (folder / "list_attr_cloth.txt").write_text(CLASS_LIST)
    assert problem(tmp_path, options).endswith("for 'fabric'; correct it")


def test_data_of_another_schema(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"img/{number}.jpg", number)
    write_lines(tmp_path / "train.txt", ["img/0.jpg", "img/1.jpg", "img/2.jpg"])
    write_lines(tmp_path / "train_attr.txt", ["0", "1", "1"])
    write_lines(tmp_path / "list_attr_cloth.txt", ["2", "name type", "dark blue  1", "light blue\t1"])
    assert "it lists 1 attributes, but the schema 'deepfashion' has 6" in problem(tmp_path)
    (tmp_path / "schema.yaml").write_text("colour: [dark blue, light blue]\n")
    labels = read_labels(tmp_path, DataOptions(schema_file=str(tmp_path / "schema.yaml")))
    assert labels.targets.tolist() == [[0], [1], [1]]


def test_malformed_class_list(tmp_path: Path) -> None:
    folder = deepfashion(tmp_path)
    write_lines(folder / "list_attr_cloth.txt", ["floral 1", "graphic one 1 "])
    assert "attribute 1 has the classes floral, graphic one" in problem(tmp_path) or "lists 1 attributes" in problem(
        tmp_path
    )
    write_lines(folder / "list_attr_cloth.txt", ["floral 1", "graphic", "plain 2"])
    assert problem(tmp_path) == (
        "split/list_attr_cloth.txt:2: expected a class name and the number of its attribute, got 'graphic'"
    )
    write_lines(folder / "list_attr_cloth.txt", ["floral 1", "graphic 3"])
    assert problem(tmp_path) == "split/list_attr_cloth.txt: the attributes' numbers are [1, 3], expected 1..2"


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(image_column="photo"),
        DataOptions(attributes=("fit",)),
        DataOptions(ignore_columns=("fit",)),
        DataOptions(split_column="part"),
        DataOptions(box_columns=("a", "b", "c", "d")),
        DataOptions(val_fraction=0.3),
        DataOptions(split_seed=1),
    ],
)
def test_options_without_effect_are_refused(tmp_path: Path, options: DataOptions) -> None:
    deepfashion(tmp_path)
    (name,) = options.model_fields_set
    assert re.match(
        rf"data\.{name} would have no effect: .* DeepFashion layout", problem(tmp_path, options, RecipeError)
    )


def test_unknown_schema(tmp_path: Path) -> None:
    deepfashion(tmp_path)
    assert "no such built-in schema" in problem(tmp_path, DataOptions(schema_file="nonsense"), SchemaError)
