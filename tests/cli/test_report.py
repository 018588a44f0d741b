"""`gingham evaluate --report` and `gingham plot`."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gingham.predictions import Predictions
from tests import tiny
from tests.report.samples import photos_of, sure_predictions

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Predictions]:
    predictions = sure_predictions(0, 40, tiny.SCHEMA)
    predictions = replace(predictions, ids=tuple(f"{number}.png" for number in range(40)))
    predictions.to_parquet(tmp_path / "saved.parquet")
    return tmp_path / "saved.parquet", predictions


def test_a_model_is_reported_with_the_photos_of_its_split(
    gingham: Call, model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    page, numbers = tmp_path / "report.html", tmp_path / "m.json"
    arguments = ("evaluate", model, "--data", wardrobe, "--split", "train", "--json", numbers)
    code, stdout, _ = gingham(*arguments, "--report", page)
    assert code == 0
    assert f"report: {page}" in stdout
    text = page.read_text()
    assert f'<p class="value">{100 * json.loads(numbers.read_text())["mean_class_accuracy"]:.1f}<' in text
    assert text.count('alt="Photo img/') >= 14
    assert text.count('class="heat"') == text.count('alt="Photo img/')
    first = page.read_bytes()
    assert gingham(*arguments, "--report", page)[0] == 0
    assert page.read_bytes() == first


def test_saved_predictions_are_reported_with_and_without_photos(
    gingham: Call, saved: tuple[Path, Predictions], tmp_path: Path
) -> None:
    file, predictions = saved
    photos_of(predictions, tmp_path / "photos")
    page = tmp_path / "report.html"
    code, stdout, _ = gingham("evaluate", file, "--report", page, "--compare", file)
    assert code == 0
    assert "mean class accuracy" in stdout
    assert 'id="comparison"' in page.read_text()
    assert "were not at hand" in page.read_text()
    assert gingham("evaluate", file, "--report", page, "--photos", tmp_path / "photos")[0] == 0
    assert 'alt="Photo 0.png"' in page.read_text() or page.read_text().count('alt="Photo ') >= 10


def test_photos_without_labels_are_reported_and_not_measured(
    gingham: Call, refused: Refused, model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(wardrobe, tmp_path / "data"))
    (data / "split" / "test_attr.txt").unlink()
    page = tmp_path / "report.html"
    code, stdout, stderr = gingham("evaluate", model, "--data", data, "--split", "test", "--report", page)
    assert (code, stdout.strip()) == (0, f"report: {page}")
    assert "nothing is measured" in stderr
    assert "None of the photos has a label" in page.read_text()
    message = refused("evaluate", model, "--data", data, "--split", "test", "--json", tmp_path / "m.json")
    assert "look at them with --report" in message


def test_options_that_would_do_nothing_are_refused(
    refused: Refused, saved: tuple[Path, Predictions], model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    file, predictions = saved
    page = tmp_path / "report.html"
    other = replace(predictions, ids=tuple(f"other/{name}" for name in predictions.ids))
    other.to_parquet(tmp_path / "other.parquet")
    assert "--compare: it is for --report" in refused("evaluate", file, "--compare", file)
    assert "--photos: it is for --report" in refused("evaluate", file, "--photos", tmp_path)
    assert "nor is any other" in refused("evaluate", file, "--report", page, "--photos", tmp_path / "none")
    assert "ending must be .html" in refused("evaluate", file, "--report", tmp_path / "r.pdf")
    assert "those of --data" in refused("evaluate", model, "--data", wardrobe, "--report", page, "--photos", tmp_path)
    assert "same split" in refused("evaluate", file, "--report", page, "--compare", tmp_path / "other.parquet")
    assert not page.exists()


def test_plots_are_written_for_a_file_and_for_a_run(
    gingham: Call, refused: Refused, saved: tuple[Path, Predictions], tmp_path: Path
) -> None:
    file, predictions = saved
    run = tmp_path / "run"
    run.mkdir()
    assert "name a finished run" in refused("plot", run, "--out", tmp_path / "a")
    predictions.to_parquet(run / "predictions-val.parquet")
    (run / "history.csv").write_text("damaged")
    assert "not a run's history" in refused("plot", run, "--out", tmp_path / "a")
    (run / "history.csv").unlink()
    code, stdout, _ = gingham("plot", run, "--out", tmp_path / "a", "--format", "svg", "--compare", file)
    assert code == 0
    files = [Path(line) for line in stdout.split()]
    assert files == [path for path in files if path.suffix == ".svg" and path.read_text().startswith("<?xml")]
    assert {path.stem for path in files} >= {"attributes", "classes", "reliability", "comparison", "confusion-pattern"}
    assert "no such file" in refused("plot", tmp_path / "none.parquet", "--out", tmp_path / "b")
