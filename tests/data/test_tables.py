from pathlib import Path

import numpy as np
import pytest

from gingham.data.formats import infer_schema, read_labels
from gingham.data.options import DataOptions
from gingham.errors import DataError, RecipeError
from gingham.schema import AttributeSchema
from tests.data.builders import PLAIN, photo, problem, table


def schema_file(folder: Path, text: str) -> str:
    (folder / "schema.yaml").write_text(text)
    return str(folder / "schema.yaml")


def test_plain_table(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path / "labels.csv", PLAIN))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"], "sleeve": ["long", "short"]})
    assert labels.images == ("0.png", "1.png", "2.png", "3.png")
    assert labels.targets.tolist() == [[1, 0], [0, -1], [0, 1], [-1, 0]]
    assert labels.splits == ("train", "train", "val", "test")
    assert labels.boxes is None
    assert labels.root == tmp_path


def test_unlabelled_values(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,colour\n0.png,red\n1.png,Skip\n2.png,blue\n3.png,Not sure\n")
    labels = read_labels(path, DataOptions(unlabelled=("Skip", "Not sure", "never seen")))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"]})
    assert labels.targets[:, 0].tolist() == [1, -1, 0, -1]


def test_chosen_attributes_keep_their_order(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN)
    assert read_labels(path, DataOptions(attributes=("sleeve", "colour"))).schema.names == ("sleeve", "colour")
    assert read_labels(path, DataOptions(attributes=("sleeve",))).schema.names == ("sleeve",)
    assert read_labels(path, DataOptions(ignore_columns=("sleeve",))).schema.names == ("colour",)


def test_columns_of_other_names(tmp_path: Path) -> None:
    text = "file,colour,part,l,t,r,b\n0.png,red,train,0,0,4,4\n1.png,blue,val,,,,\n"
    options = DataOptions(image_column="file", split_column="part", box_columns=("l", "t", "r", "b"))
    labels = read_labels(table(tmp_path / "labels.csv", text), options)
    assert labels.schema.names == ("colour",)
    assert labels.splits == ("train", "val")
    assert labels.boxes is not None
    np.testing.assert_array_equal(labels.boxes, [[0, 0, 4, 4], [np.nan] * 4])


def test_ignored_split_column_makes_a_random_split(tmp_path: Path) -> None:
    text = "image,colour,split\n" + "".join(f"{n}.png,{'red' if n % 2 else 'blue'},test\n" for n in range(8))
    path = table(tmp_path / "labels.csv", text)
    assert read_labels(path).split_names == ("test",)
    assert read_labels(path, DataOptions(ignore_columns=("split",))).split_names == ("train", "val")


def test_integers_with_a_schema_are_indices_unless_they_are_class_names(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,colour,size,split\n0.png,0,2,train\n1.png,blue,1,val\n2.png,1,,val\n")
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\nsize: ['1', '2']\n"))
    assert read_labels(path, options).targets.tolist() == [[0, 1], [1, 0], [1, -1]]


def test_integers_without_a_schema_are_class_names(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,n,split\n0.png,10,train\n1.png,2,val\n2.png,0,val\n3.png,2,val\n")
    labels = read_labels(path)
    assert labels.schema == AttributeSchema.of({"n": ["0", "2", "10"]})
    assert labels.targets[:, 0].tolist() == [2, 1, 0, 1]


def test_image_root(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,colour,split\na/x.png,red,train\na/y.png,blue,val\n")
    photo(tmp_path / "photos/a/x.png", 1)
    photo(tmp_path / "photos/a/y.png", 2)
    labels = read_labels(path, DataOptions(image_root=str(tmp_path / "photos")))
    assert labels.paths() == [tmp_path / "photos/a/x.png", tmp_path / "photos/a/y.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images,colour\n0.png,red\n", "labels.csv: no column 'image' (data.image_column); did you mean 'images'?"),
        ("image\n0.png\n", "labels.csv: no column is left to be an attribute; there are image"),
        ("image,colour\n,red\n1.png,blue\n", "labels.csv:2: column 'image' holds no image path"),
        (
            "image,colour\n0.png,red\n1.png,blue\n0.png,red\n",
            "labels.csv:4: image '0.png' is listed already at labels.csv:2; remove one",
        ),
        (
            "image,colour,split\n0.png,red,train\n1.png,blue,\n",
            "labels.csv:3: column 'split' holds ''; expected train, val (or valid, validation) or test",
        ),
        (
            "image,colour,x1,y1,x2,y2\n0.png,red,,,,\n1.png,blue,1,2,,4\n2.png,red,,,,\n",
            "labels.csv:3: expected a box of four numbers x1 y1 x2 y2, got '1 2 4'",
        ),
        (
            "image,colour,x1,y1,x2,y2\n0.png,red,,,,\n1.png,blue,5,2,1,4\n2.png,red,,,,\n",
            "labels.csv:3: the box '5 2 1 4' has no area; expected x1 < x2 and y1 < y2",
        ),
        (
            "image,colour\n0.png,red\n1.png,7\n2.png,red\n",
            "labels.csv:3: column 'colour' holds the number 7, but the class name 'red' at labels.csv:2; use one of "
            "both, or give a schema in data.schema_file",
        ),
        (
            "image,colour,width\n0.png,red,5\n1.png,blue,6\n",
            "labels.csv: column 'width' has a name that Gingham writes itself; list the attributes in "
            "data.attributes, or this column in data.ignore_columns",
        ),
        (
            "image,colour\n0.png,red\n1.png,red\n",
            "labels.csv: attribute 'colour': it has one class ('red'); name at least two; list the attributes in "
            "data.attributes, or this column in data.ignore_columns",
        ),
    ],
)
def test_cells_and_columns_that_do_not_fit(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(table(tmp_path / "labels.csv", text)) == expected


def test_missing_images(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN, photos=2)
    assert problem(path) == (
        f"labels.csv:4: image '2.png' is not in {tmp_path} (the first of 2 missing files); add it, or set "
        "data.image_root"
    )


def test_unknown_classes_with_a_schema(tmp_path: Path) -> None:
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\n"))
    path = table(tmp_path / "labels.csv", "image,colour\n0.png,red\n1.png,bleu\n")
    assert problem(path, options) == ("labels.csv:3: attribute 'colour': unknown class 'bleu'; did you mean 'blue'?")
    path.write_text("image,colour\n0.png,red\n1.png,2\n")
    assert problem(path, options) == "labels.csv:3: attribute 'colour' has label 2, expected 0..1"
    path.write_text("image,colour\n0.png,-1\n1.png,1\n")
    assert problem(path, options) == "labels.csv:2: attribute 'colour' has label -1, expected 0..1"
    path.write_text("image,color\n0.png,red\n1.png,blue\n")
    assert problem(path, options).endswith(
        f"no column 'colour' (an attribute of the schema {options.schema_file}); did you mean 'color'?".replace(
            f"{tmp_path}/", ""
        )
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DataOptions(attributes=("color",)), "no column 'color' (data.attributes); did you mean 'colour'?"),
        (DataOptions(ignore_columns=("no",)), "no column 'no' (data.ignore_columns); there are image, colour, sleeve"),
        (DataOptions(split_column="splits"), "no column 'splits' (data.split_column); did you mean 'split'?"),
        (DataOptions(box_columns=("a", "b", "c", "d")), "no column 'a' (data.box_columns)"),
    ],
)
def test_options_that_name_no_column(tmp_path: Path, options: DataOptions, expected: str) -> None:
    assert expected in problem(table(tmp_path / "labels.csv", PLAIN), options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DataOptions(val_fraction=0.5), "data.val_fraction would have no effect: labels.csv has the split column"),
        (DataOptions(split_seed=5), "data.split_seed would have no effect: labels.csv has the split column 'split'"),
        (DataOptions(attributes=("image",)), "column 'image' cannot be an attribute and something else as well"),
        (
            DataOptions(attributes=("colour",), ignore_columns=("colour",)),
            "column 'colour' cannot be an attribute and something else as well",
        ),
    ],
)
def test_options_that_contradict(tmp_path: Path, options: DataOptions, expected: str) -> None:
    assert expected in problem(table(tmp_path / "labels.csv", PLAIN), options, RecipeError)


def test_attributes_that_are_not_those_of_the_schema(tmp_path: Path) -> None:
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\n"), attributes=("sleeve",))
    message = problem(table(tmp_path / "labels.csv", PLAIN), options, RecipeError)
    assert message == "data.attributes names sleeve, but schema.yaml has colour; give one of the two options"


def test_identical_photos_stay_together(tmp_path: Path) -> None:
    rows = [(f"{n}.png", "red" if n % 3 else "blue") for n in range(40)]
    path = table(tmp_path / "labels.csv", "image,colour\n" + "".join(f"{a},{b}\n" for a, b in rows), photos=0)
    for number in range(40):
        photo(tmp_path / f"{number}.png", number // 2)
    for seed in range(5):
        splits = read_labels(path, DataOptions(split_seed=seed)).splits
        assert splits[0::2] == splits[1::2]
        assert splits.count("val") == 8


def test_infer_schema_does_not_look_at_images(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN, photos=0)
    assert infer_schema(path) == AttributeSchema.of({"colour": ["blue", "red"], "sleeve": ["long", "short"]})
    with pytest.raises(RecipeError, match=r"data\.schema_file would have no effect: the schema is inferred"):
        infer_schema(path, DataOptions(schema_file="deepfashion"))


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ([f"v{n}" for n in range(5)], False),  # never seen twice
        ([f"v{n}" for n in range(4)], True),
        ([f"v{n % 100}" for n in range(1000)], True),
        ([f"v{n % 101}" for n in range(1000)], False),  # too many
        ([f"v{n % 11}" for n in range(21)], False),  # mostly unique
        ([f"v{n % 11}" for n in range(22)], True),
    ],
)
def test_columns_that_look_like_identifiers(tmp_path: Path, values: list[str], accepted: bool) -> None:
    text = "image,code\n" + "".join(f"{n}.png,{value}\n" for n, value in enumerate(values))
    path = table(tmp_path / "labels.csv", text, photos=0)
    if accepted:
        assert infer_schema(path)["code"].classes == tuple(sorted(set(values)))
        return
    with pytest.raises(DataError, match=r"labels\.csv: column 'code' looks like an identifier") as caught:
        infer_schema(path)
    assert str(caught.value).endswith("list the attributes in data.attributes, or this column in data.ignore_columns")
