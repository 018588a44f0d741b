"""The page: its numbers are those of the metrics, it is whole by itself, and safe whatever things are called."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import html5lib
import numpy as np
import pytest
from PIL import Image

from gingham.evaluation.metrics import evaluate
from gingham.predictions import Predictions
from gingham.report.page import Photos, photos_beneath
from gingham.report.write import write_report
from gingham.schema import AttributeSchema
from tests.evaluation.samples import DEEPFASHION, SMALL, predictions_of
from tests.report.samples import HISTORY, HOSTILE, photos_of, sure_predictions


class _Markup(HTMLParser):
    """The elements and attributes of a page, and the text of its tables, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.tables: dict[str, list[list[str]]] = {}
        self._table: str | None = None
        self._unnamed = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "table":
            own = dict(attrs)
            self._unnamed += "id" not in own
            self._table = own.get("id") or f"{own.get('class')}-{self._unnamed}"
            self.tables[self._table] = []
        elif self._table and tag == "tr":
            self.tables[self._table].append([])
        elif self._table and tag in {"td", "th"}:
            self.tables[self._table][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._table and self.tables[self._table] and self.tables[self._table][-1]:
            self.tables[self._table][-1][-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = None


def _page(predictions: Predictions, folder: Path, **further: object) -> str:
    write_report(predictions, folder / "report.html", title="runs/one", **further)  # type: ignore[arg-type]
    page = (folder / "report.html").read_text(encoding="utf-8")
    # Raises where the page is no valid HTML.
    html5lib.HTMLParser(strict=True).parse(page)
    return page


def _percent(share: float | None) -> str:
    return "\u2013" if share is None else f"{100 * share:.1f}"


def test_its_numbers_are_those_of_the_metrics(tmp_path: Path) -> None:
    predictions = sure_predictions(0, 200, DEEPFASHION)
    metrics = evaluate(predictions).to_json()
    page = _page(predictions, tmp_path, history=HISTORY)
    low, high = metrics["mean_class_accuracy_ci95"]
    head = page.partition('data-metric="mean_class_accuracy"')[2].partition("</div>")[0]
    assert f'<p class="value">{_percent(metrics["mean_class_accuracy"])}<small>' in head
    assert f"95% interval {_percent(low)}&thinsp;\u2013&thinsp;{_percent(high)}, from 2,000 bootstrap" in head
    for name in ("overall_accuracy", "macro_f1"):
        part = page.partition(f'data-metric="{name}"')[2].partition("</div>")[0]
        assert f"<dd>{_percent(metrics[name])}<small>" in part
    assert f'data-metric="n"><dt>Labelled photos</dt><dd>{metrics["n"]}</dd>' in page
    tables = _Markup(page).tables
    for row, (name, own) in zip(tables["per-attribute"][1:], metrics["per_attribute"].items(), strict=True):
        assert [row[0], row[2], *row[4:]] == [
            name,
            _percent(own["mean_class_accuracy"]),
            _percent(own["accuracy"]),
            _percent(own["macro_f1"]),
            str(own["n"]),
        ]
    shown = [table for key, table in tables.items() if key.startswith("classes-")]
    for table, classes in zip(shown, metrics["per_class"].values(), strict=True):
        for row, (label, own) in zip(table[1:], classes.items(), strict=True):
            values = [_percent(own[key]) for key in ("recall", "precision", "f1")]
            assert [row[0], *row[2:]] == [label, *values, str(own["n"])]
    assert "best epoch 2: validation 55.0%" in page


def test_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    predictions = sure_predictions(1, 40, SMALL)
    photos = Photos(photos_of(predictions, tmp_path / "photos"))
    first = _page(predictions, tmp_path, photos=photos, history=HISTORY)
    later = replace(predictions, source={**predictions.source, "seconds": 99.0})
    history = {**HISTORY, "seconds": [9.0, 9.0, 9.0]}
    assert _page(later, tmp_path, photos=photos, history=history, metrics=evaluate(later)) == first


def test_nothing_of_the_users_becomes_markup(tmp_path: Path) -> None:
    predictions = sure_predictions(2, 60, HOSTILE)
    ids = ("<script>x' onerror=alert(3).jpg", "\u202egpj.exe", "n" * 3000, *predictions.ids[3:])
    predictions = replace(predictions, ids=ids, source={"data": "<b>data</b>", "<i>": "<i>"})
    page = _page(predictions, tmp_path, other=predictions, compared_with="<u>other</u>.parquet")
    markup = _Markup(page)
    assert not markup.elements & {"script", "i><i", "u", "object", "iframe", "link", "form"}
    assert not {name for name in markup.attributes if name.startswith("on")}
    assert "<b>data" not in page
    assert "<u>other" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "49" not in re.findall(r"alert\(1\).{0,60}", page)[0].replace("{{7*7}}", "")


def test_nothing_is_fetched_from_anywhere(tmp_path: Path) -> None:
    predictions = sure_predictions(3, 30, SMALL)
    page = _page(predictions, tmp_path, photos=Photos(photos_of(predictions, tmp_path / "photos")))
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|@import|url\(|<link|<iframe|<script", page)
    assert set(re.findall(r'src="([^,;]{,20})', page)) == {"data:image/webp"}


def test_photos_are_shown_with_what_was_looked_at(tmp_path: Path) -> None:
    predictions = sure_predictions(4, 12, SMALL)
    paths = photos_of(predictions, tmp_path / "photos", side=80)
    asked: list[str] = []

    def explain(ids: object) -> dict[str, np.ndarray]:
        asked.extend(ids)  # type: ignore[arg-type]
        attention = np.zeros((2, 4, 3), dtype=np.float32)
        attention[:, 0, 0] = 1
        return dict.fromkeys(asked, attention)

    page = _page(predictions, tmp_path, photos=Photos(paths), explain=explain)
    assert len(asked) == len(set(asked)) > 0
    heat = re.findall(r'class="heat" src="data:image/webp;base64,([^"]+)"', page)
    assert len(heat) == page.count('alt="Photo ')
    picture = Image.open(io.BytesIO(base64.b64decode(heat[0])))
    assert (picture.width, picture.height) == (72, 96)
    opacity = np.asarray(picture.convert("RGBA"))[..., 3]
    assert opacity[:8, :8].mean() > 100 > 5 > opacity[60:, 40:].mean()


def test_photos_that_are_not_at_hand_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    page = _page(sure_predictions(5, 30, SMALL), tmp_path)
    assert "The photos were not at hand" in page
    assert "<img" not in page
    assert "photo not at hand" in page


def test_no_id_leads_out_of_the_folder_of_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("secret.jpg", "photos/own.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "photos" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    ids = ["own.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "gone.jpg", "nul\0.jpg", "."]
    assert photos_beneath(tmp_path / "photos", ids) == {"own.jpg": (tmp_path / "photos" / "own.jpg").resolve()}


_MANY = AttributeSchema.of({"kind": [f"kind_{number}" for number in range(40)], "fit": ["tight", "loose"]})


@pytest.mark.parametrize(
    "predictions",
    [
        predictions_of([[0, 0]], [[0, 1]]),
        predictions_of([[0, -1]] * 3, [[0, 1]] * 3),
        predictions_of([[-1, -1]], [[0, 1]]),
        replace(predictions_of([[-1, -1]] * 30, [[0, 1]] * 30), targets=None),
        predictions_of([[2]] * 4, [[1]] * 4, AttributeSchema.of({"colour": ["red", "green", "blue"]})),
        sure_predictions(6, 300, _MANY),
        sure_predictions(6, 30, AttributeSchema.of({"kind": [f"kind_{number}" for number in range(400)]})),
    ],
    ids=["one photo", "an attribute without labels", "no label", "no targets", "one attribute", "40 classes", "400"],
)
def test_whatever_there_is_it_is_a_page(predictions: Predictions, tmp_path: Path) -> None:
    page = _page(predictions, tmp_path)
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    measured = predictions.targets is not None and (predictions.targets >= 0).any()
    assert ("None of the photos has a label" in page) is not bool(measured)


def test_a_matrix_that_nobody_could_read_gives_way_to_a_list(tmp_path: Path) -> None:
    page = _page(sure_predictions(7, 300, AttributeSchema.of({"kind": [f"k{n}" for n in range(60)]})), tmp_path)
    assert "most frequent confusions" in page
    assert '<table class="matrix' not in page


def test_a_thousand_photos_stay_below_15_megabytes(tmp_path: Path) -> None:
    predictions = sure_predictions(8, 1000, DEEPFASHION)
    shown = replace(predictions, ids=predictions.ids)
    # Only those that are shown are read; all of them are the same noisy photo.
    path = next(iter(photos_of(predictions_of([[0, 0]], [[0, 0]]), tmp_path / "photos", side=900).values()))
    attention = dict.fromkeys(shown.ids, np.random.default_rng(0).random((6, 24, 24)).astype(np.float32))
    page = _page(shown, tmp_path, photos=Photos(dict.fromkeys(shown.ids, path)), explain=lambda ids: attention)
    assert page.count('alt="Photo ') == 40
    assert len(page.encode()) < 15_000_000
