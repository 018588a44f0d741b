import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gingham
from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.errors import BundleError, DataError, ImageError, SchemaError, UserError
from gingham.inference.tagger import Item, MissingBoxWarning, Tagger
from gingham.inference.torch_runtime import choose_device
from gingham.predictions import Predictions, softmax
from gingham.schema import AttributeSchema


def logits_of(tagger: Tagger, items: list[Item], **options: int) -> np.ndarray:
    outcomes = list(tagger.stream(items, **options))
    assert all(outcome.error is None for outcome in outcomes)
    return np.stack([outcome.logits for outcome in outcomes])


def test_path_bytes_and_image_give_the_same_tags(tagger: Tagger, photos: list[Path]) -> None:
    expected = tagger(photos[0])
    assert tagger(str(photos[0])) == expected
    assert tagger(photos[0].read_bytes()) == expected
    with Image.open(photos[0]) as image:
        assert tagger(image) == expected
    assert list(expected) == list(tagger.schema.names)
    for name, tag in expected.items():
        assert tag.label in tagger.schema[name].classes
        assert 1 / len(tagger.schema[name]) <= tag.confidence <= 1


def test_exif_orientation_counts_for_images_too(tagger: Tagger, photos: list[Path], tmp_path: Path) -> None:
    with Image.open(photos[0]) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
        image.save(tmp_path / "upright.png")
    expected = logits_of(tagger, [Item("a", tmp_path / "upright.png")])
    with Image.open(tmp_path / "turned.png") as turned:
        found = logits_of(tagger, [Item("a", turned), Item("b", tmp_path / "turned.png")])
    np.testing.assert_allclose(found, np.repeat(expected, 2, axis=0), atol=1e-5)


def test_the_package_offers_the_tagger(model: Path) -> None:
    assert gingham.Tagger is Tagger
    assert gingham.Tagger.load(str(model), device="cpu").hash


def test_what_is_no_image_is_refused(tagger: Tagger, photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"got ndarray"):
        tagger(np.zeros((4, 4, 3), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ImageError) as caught:
        tagger(tmp_path / "none.jpg")
    assert caught.value.reason == "not_found"
    with pytest.raises(ImageError) as caught:
        tagger(b"plain text")
    assert caught.value.reason == "unreadable"
    data = photos[0].read_bytes()
    with Image.open(io.BytesIO(data[: len(data) // 2])) as cut, pytest.raises(ImageError, match="not a readable image"):
        tagger(cut)


def test_tag_names_an_unreadable_image(tagger: Tagger, photos: list[Path]) -> None:
    assert len(tagger.tag([Item("a", photos[0]), Item("b", photos[1])])) == 2
    with pytest.raises(ImageError):
        tagger.tag([Item("a", photos[0]), Item("b", b"x")])


def test_stream_keeps_the_order_and_goes_on_after_errors(tagger: Tagger, photos: list[Path]) -> None:
    items = [Item(str(n), b"x" if n % 3 == 1 else photo) for n, photo in enumerate(photos[:8])]
    outcomes = list(tagger.stream(items, batch_size=3, workers=3))
    assert [outcome.id for outcome in outcomes] == [item.id for item in items]
    assert [outcome.error is not None for outcome in outcomes] == [n % 3 == 1 for n in range(8)]
    for outcome in outcomes:
        assert (outcome.logits is None) == (outcome.facts is None) == (outcome.error is not None)


def test_batch_size_and_workers_do_not_matter(tagger: Tagger, photos: list[Path]) -> None:
    items = [Item(photo.name, photo) for photo in photos]
    expected = softmax(logits_of(tagger, items, batch_size=1, workers=1), tagger.schema)
    assert expected.std(axis=0).max() > 1e-2
    for batch_size, workers in ((3, 2), (16, 1), (64, 4)):
        found = softmax(logits_of(tagger, items, batch_size=batch_size, workers=workers), tagger.schema)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_predictions_equal_single_tags_and_survive_a_file(tagger: Tagger, wardrobe: Path, tmp_path: Path) -> None:
    table = read_labels(wardrobe).split("val")
    predictions = tagger.predict(table, batch_size=2, source={"split": "val"})
    assert predictions.ids == table.images
    assert np.array_equal(predictions.targets, table.targets)
    assert predictions.source == {
        "model": tagger.hash,
        "runtime": "torch fp32 on cpu, 1 thread",
        "data": str(wardrobe),
        "split": "val",
    }
    for row, path in enumerate(table.paths()):
        for part, tag in zip(tagger.schema.slices, tagger(path).values(), strict=True):
            assert abs(predictions.probabilities[row, part].max() - tag.confidence) <= 1e-5
    assert predictions.columns["width"].tolist() == [300] * len(table)
    assert ((predictions.columns["brightness"] > 0) & (predictions.columns["brightness"] < 1)).all()
    boxes = table.boxes
    assert boxes is not None
    share = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 300**2
    np.testing.assert_allclose(predictions.columns["box_share"], share, rtol=1e-6)

    predictions.to_parquet(tmp_path / "p.parquet")
    again = Predictions.from_parquet(tmp_path / "p.parquet")
    assert again.schema == predictions.schema
    assert again.ids == predictions.ids
    assert again.source == predictions.source
    assert again.logits.dtype == np.float32
    assert np.array_equal(again.logits, predictions.logits)
    assert np.array_equal(again.targets, predictions.targets)
    for name, values in predictions.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)


def test_prediction_names_unreadable_images(tagger: Tagger, wardrobe: Path, tmp_path: Path) -> None:
    table = read_labels(wardrobe).split("train")
    missing = LabelTable(
        table.schema, tmp_path, table.images, table.targets, table.splits, table.boxes, "the labels"
    ).take(range(7))
    with pytest.raises(DataError, match=r"the labels: 7 images cannot be read: img/.*\(not_found\), .* and 2 more"):
        tagger.predict(missing)


def test_prediction_of_nothing_is_empty(tagger: Tagger, wardrobe: Path) -> None:
    assert tagger.predict(read_labels(wardrobe).take([])).logits.shape == (0, tagger.schema.total)


def test_labels_in_another_order_are_translated(tagger: Tagger, wardrobe: Path) -> None:
    table = read_labels(wardrobe).split("val")
    turned = AttributeSchema.of({a.name: tuple(reversed(a.classes)) for a in reversed(tagger.schema.attributes)})
    predictions = tagger.predict(table.with_schema(turned))
    assert predictions.schema == tagger.schema
    assert np.array_equal(predictions.targets, table.targets)


def test_another_schema_is_refused_with_both_named(tagger: Tagger, wardrobe: Path) -> None:
    table = read_labels(wardrobe).split("val")
    other = AttributeSchema.of({"colour": ["red", "blue"]})
    strange = LabelTable(
        other, table.root, table.images, np.zeros((len(table), 1), np.int64), table.splits, None, "labels.csv"
    )
    with pytest.raises(SchemaError, match=r"the model is pattern \(.*that of labels.csv is colour \(2\)"):
        tagger.predict(strange)


def test_a_missing_box_means_the_whole_image_and_one_warning(
    box_tagger: Tagger, tagger: Tagger, photos: list[Path]
) -> None:
    none = np.full(4, np.nan, dtype=np.float32)
    items = [Item(photo.name, photo, none if n % 2 else None) for n, photo in enumerate(photos)]
    with pytest.warns(MissingBoxWarning, match="the whole image is used") as caught:
        found = logits_of(box_tagger, items, workers=4)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = logits_of(box_tagger, items)
        whole = logits_of(box_tagger, [Item(i.id, i.source, np.array([0, 0, 300, 300], np.float32)) for i in items])
        boxless = logits_of(tagger, items)
    np.testing.assert_allclose(found, again, atol=1e-5)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    np.testing.assert_allclose(found, boxless, atol=1e-5)


def test_a_box_counts_where_the_model_knows_boxes(box_tagger: Tagger, tagger: Tagger, photos: list[Path]) -> None:
    box = [60.0, 60.0, 200.0, 220.0]
    assert box_tagger(photos[0], box=box) != box_tagger(photos[0], box=[0, 0, 300, 300])
    assert tagger(photos[0], box=box) == tagger(photos[0])


@pytest.mark.parametrize(
    "box", [[400, 10, 500, 50], [-50, -50, -1, -1], [50, 50, 50, 90], [90, 10, 20, 50], [float("nan"), 0, 10, 10]]
)
def test_a_box_outside_of_the_image_is_an_error_of_that_image(
    box_tagger: Tagger, photos: list[Path], box: list[float]
) -> None:
    good = np.array([0, 0, 99, 99], np.float32)
    items = [Item("good", photos[0], good), Item("bad", photos[0], np.array(box, np.float32))]
    first, second = box_tagger.stream(items)
    assert first.error is None
    assert second.error is not None
    assert second.error.reason == "bad_box"
    assert "bad: " in str(second.error)


def test_a_malformed_box_is_refused(box_tagger: Tagger, photos: list[Path]) -> None:
    with pytest.raises(UserError, match="four numbers"):
        box_tagger(photos[0], box=[1, 2, 3])


def test_devices(model: Path) -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(UserError, match=r"--device tpu: not on this machine; there is .*cpu"):
        choose_device("tpu")
    for name in ("cpu:7", "cpu:x"):
        with pytest.raises(UserError, match="no such device"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="--device cuda"):
            Tagger.load(model, device="cuda")


def test_loading_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        Tagger.load(tmp_path / "none")
