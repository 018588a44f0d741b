"""Folds: every image in one of them, copies and near duplicates together, every class in each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.errors import DataError, RecipeError

FOLDS = 3


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def picture(seed: int) -> Image.Image:
    """Large soft blobs: unlike any other seed's."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((60, 80), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """00 to 29: 25 is 01 as a file, 26 its pixels in another format, 27 is 01 mirrored and smaller, 28 a near 02."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(25):
        picture(number).save(folder / f"{number:02d}.png")
    (folder / "25.png").write_bytes((folder / "01.png").read_bytes())
    picture(1).save(folder / "26.png", optimize=True)
    ImageOps.mirror(picture(1)).resize((45, 60)).save(folder / "27.png")
    picture(2).resize((50, 66)).save(folder / "28.png")
    picture(29).save(folder / "29.png")
    return folder


@pytest.fixture
def write(pictures: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a table of the 30 pictures, in an order, with splits as given or none."""

    def write(name: str, *, order: range = range(30), split: Callable[[int], str] | None = None) -> Path:
        header = "image,hue,tone" + (",split" if split else "")
        rows = [
            f"{pictures}/{number:02d}.png,{('red', 'green')[number % 2]},{('dark', 'light', '')[number % 3]}"
            + (f",{split(number)}" if split else "")
            for number in order
        ]
        file = tmp_path / f"{name}.csv"
        file.write_text("\n".join([header, *rows]) + "\n")
        return file

    return write


def folds_of(file: Path, **options: int) -> dict[str, int]:
    """Image -> the fold in which it is validation."""
    found: dict[str, int] = {}
    for fold in range(options.get("folds", FOLDS)):
        table = read_labels(file, DataOptions.parse({"folds": FOLDS, "fold": fold, **options}))
        for image in table.split("val").images:
            assert found.setdefault(Path(image).stem, fold) == fold
    return found


def test_every_image_is_validation_once_and_copies_are_together(write: Callable[..., Path]) -> None:
    folds = folds_of(write("plain"))
    assert sorted(folds) == [f"{number:02d}" for number in range(30)]
    assert len({folds[name] for name in ("01", "25", "26", "27")}) == 1
    assert folds["02"] == folds["28"]
    sizes = np.bincount(list(folds.values()))
    assert sizes.max() - sizes.min() <= 3, "about ten each; four of them are one picture"


def test_the_order_of_rows_and_the_splits_before_do_not_matter(write: Callable[..., Path]) -> None:
    folds = folds_of(write("plain"))
    assert folds_of(write("turned", order=range(29, -1, -1))) == folds
    assert folds_of(write("split", split=lambda number: "val" if number < 9 else "train")) == folds
    assert folds_of(write("plain"), split_seed=1) != folds


def test_test_images_stay(write: Callable[..., Path]) -> None:
    file = write("tested", split=lambda number: "test" if number >= 24 else "train")
    table = read_labels(file, DataOptions(folds=3, fold=1))
    assert [Path(image).stem for image in table.split("test").images] == [f"{number}" for number in range(24, 30)]
    assert len(table.split("train")) + len(table.split("val")) == 24


def test_every_fold_has_its_share_of_every_class(write: Callable[..., Path]) -> None:
    file = write("plain")
    counts = []
    for fold in range(FOLDS):
        table = read_labels(file, DataOptions(folds=FOLDS, fold=fold)).split("val")
        counts.append(table.counts())
    assert np.ptp(np.stack(counts), axis=0).max() <= 4, "what one picture of four images makes of it"


def test_a_folder_in_the_deepfashion_layout_too(write: Callable[..., Path], pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fashion"
    folder.mkdir()
    for split, numbers in (("train", range(20)), ("val", range(20, 30))):
        (folder / f"{split}.txt").write_text("".join(f"{pictures}/{number:02d}.png\n" for number in numbers))
        (folder / f"{split}_attr.txt").write_text("".join(f"{number % 2} {number % 3}\n" for number in numbers))
    (tmp_path / "schema.yaml").write_text("hue: [red, green]\ntone: [dark, light, none]\n")
    options = {"schema_file": str(tmp_path / "schema.yaml"), "folds": FOLDS}
    seen = [read_labels(folder, DataOptions.parse({**options, "fold": fold})).split("val") for fold in range(FOLDS)]
    assert sum(map(len, seen)) == 30
    assert read_labels(folder, DataOptions.parse({**options, "split_seed": 4})).splits != _first(folder, options).splits


def _first(folder: Path, options: dict[str, object]) -> LabelTable:
    return read_labels(folder, DataOptions.parse(options))


def test_too_few_are_refused_with_the_reason(write: Callable[..., Path], pictures: Path, tmp_path: Path) -> None:
    file = write("plain")
    with pytest.raises(DataError, match=r"plain\.csv: 30 images of 26 different photos are too few for data\.folds=27"):
        read_labels(file, DataOptions(folds=27))
    lines = file.read_text().splitlines()
    rare = tmp_path / "rare.csv"
    # Four files of one picture are one example.
    violet = [line.replace("green", "violet") if line.split("/")[-1][:2] in ("01", "25") else line for line in lines]
    rare.write_text("\n".join(violet))
    with pytest.raises(DataError, match=r"for data\.folds=3: hue/violet \(1\); .*data\.unlabelled"):
        read_labels(rare, DataOptions(folds=3))
    assert len(read_labels(rare, DataOptions(folds=3, unlabelled=("violet",)))) == 30


def test_options_without_effect_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(RecipeError, match=r"data\.fold would have no effect"):
        read_labels(write("plain"), DataOptions(fold=1))
    with pytest.raises(RecipeError, match=r"data\.val_fraction would have no effect"):
        read_labels(write("plain"), DataOptions(folds=3, val_fraction=0.5))
    with pytest.raises(RecipeError, match="fold: there are 3 folds, numbered from 0 to 2"):
        DataOptions.parse({"folds": 3, "fold": 3})
