"""What is let into a run: readable images, and no training copies of photos that judge it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data import survey as survey_module
from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.errors import BundleError, DataError
from gingham.progress import Reporter
from gingham.training.intake import Intake, Rules, take_in
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train


class _Ears(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """24 photos; 01 (train) is 20 (val) in another format, 02 (train) has the bytes of 23 (test), 03 and 04 are twins
    in train, and 21 and 22 are twins in val and test."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "leaky"
    folder.mkdir()
    rows = ["image,hue,split"]
    twins = {20: 1, 23: 2, 4: 3, 22: 21}
    pictures: dict[int, Image.Image] = {}
    for number in range(24):
        new = Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
        pictures[number] = pictures.get(twins.get(number, number), new)
        name = f"{number:02d}.{'webp' if number == 20 else 'png'}"
        if number == 20:
            pictures[number].save(folder / name, lossless=True)
        else:
            pictures[number].save(folder / name)
        split = "train" if number < 16 else "val" if number < 22 else "test"
        rows.append(f"{name},{('red', 'green')[number % 2]},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def _spoil(folder: Path, *numbers: int) -> None:
    for number in numbers:
        file = folder / f"{number:02d}.png"
        file.write_bytes(file.read_bytes()[:200])


def _take(table: LabelTable, rules: Rules) -> tuple[LabelTable, Intake, list[str]]:
    ears = _Ears()
    kept, intake = take_in(table, rules, workers=1, reporter=ears)
    return kept, intake, ears.warnings


def test_training_copies_of_held_out_photos_are_left_out(leaky: Path) -> None:
    table = read_labels(leaky)
    kept, intake, warnings = _take(table, Rules())
    assert set(table.images) - set(kept.images) == {"01.png", "02.png"}
    assert dict(intake.copies) == {"01.png": "20.webp", "02.png": "23.png"}
    assert len(warnings) == 1
    assert "01.png = 20.webp (val), 02.png = 23.png (test)" in warnings[0]
    assert Intake.from_json(json.loads(json.dumps(intake.to_json()))) == intake


def test_copies_are_kept_or_refused_as_asked(leaky: Path) -> None:
    table = read_labels(leaky)
    kept, intake, warnings = _take(table, Rules(leaks="keep"))
    assert kept.images == table.images
    assert len(intake.copies) == 2
    assert "kept" in warnings[0]
    with pytest.raises(DataError, match=r"01\.png = 20\.webp \(val\).*--leaks drop"):
        _take(table, Rules(leaks="error"))


def test_unreadable_images_are_listed_before_anything_begins(leaky: Path, tiny: Callable[..., Recipe]) -> None:
    _spoil(leaky, 5, 17)
    with pytest.raises(DataError, match=r"2 of 22 .*05\.png \(truncated\), 17\.png \(truncated\).*--skip-unreadable"):
        train(leaky, tiny(), leaky.parent / "run")
    assert not (leaky.parent / "run").exists()


def test_the_same_images_are_skipped_every_time_up_to_a_limit(leaky: Path) -> None:
    _spoil(leaky, 5, 17, 22)
    results = [_take(read_labels(leaky), Rules(skip_unreadable=2 / 22)) for _ in range(3)]
    for kept, intake, warnings in results:
        assert dict(intake.unreadable) == {"05.png": "truncated", "17.png": "truncated"}
        assert set(read_labels(leaky).images) - set(kept.images) == {"01.png", "02.png", "05.png", "17.png"}
        assert warnings == results[0][2]
        assert "22.png" not in warnings[0], "images of the test split concern no training"
        assert "split 'test': 1 images" in warnings[1]
    with pytest.raises(DataError, match=r"more than the 0\.09 of them"):
        _take(read_labels(leaky), Rules(skip_unreadable=0.09))


def test_a_second_look_decodes_nothing(leaky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _take(read_labels(leaky), Rules())

    def never(path: Path, *, max_pixels: int) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(survey_module, "image_facts", never)
    kept, intake, warnings = _take(read_labels(leaky), Rules())
    assert (kept.images, intake, warnings) == (first[0].images, first[1], first[2])


def test_a_run_records_what_it_left_out_and_goes_on_with_it(leaky: Path, tiny: Callable[..., Recipe]) -> None:
    _spoil(leaky, 5)
    out = leaky.parent / "run"
    metrics = train(leaky, tiny("train.epochs=1"), out, rules=Rules(skip_unreadable=0.1))
    record = json.loads((out / "run.json").read_text())["images"]
    assert record == {
        "leaks": "drop",
        "skip_unreadable": 0.1,
        "copies": {"01.png": "20.webp", "02.png": "23.png"},
        "unreadable": {"05.png": "truncated"},
    }
    trained = json.loads((out / "best" / "config.json").read_text())["trained"]
    assert trained["training_images"] == 13
    card = (out / "best" / "README.md").read_text()
    assert "- training copies of validation or test photos left out: 2" in card
    assert "- unreadable images left out: 1" in card
    assert resume(out) == metrics
    # Put right since: the run would see another table.
    Image.new("RGB", (30, 40), "teal").save(leaky / "05.png")
    with pytest.raises(BundleError, match=r"there were 1 unreadable images when it began, now there are 0 \(05\.png"):
        resume(out)


def test_runs_from_before_go_on_with_all_their_images(leaky: Path, tiny: Callable[..., Recipe]) -> None:
    out = leaky.parent / "run"
    metrics = train(leaky, tiny("train.epochs=1"), out, rules=Rules(leaks="keep"))
    facts = json.loads((out / "run.json").read_text())
    del facts["images"]
    (out / "run.json").write_text(json.dumps(facts))
    assert resume(out) == metrics
    (out / "run.json").write_text(json.dumps({**facts, "images": {"leaks": "perhaps"}}))
    with pytest.raises(BundleError, match="damaged"):
        resume(out)
