"""`calibrate`, `predict --precision`, `evaluate` and `monitor` as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gingham.errors import ExitCode
from gingham.inference.bundle import open_bundle
from gingham.predictions import Predictions
from tests import tiny
from tests.cli.conftest import Command
from tests.inference.calibrations import labelled


@pytest.fixture
def saved(model: Path, tmp_path: Path) -> Path:
    """Predictions that say that they are of the model, on photos that it has not seen."""
    own = labelled(300)
    source = {"model": open_bundle(model).hash, "data": "photos", "split": "test"}
    Predictions(own.schema, own.ids, own.logits, own.targets, {}, source).to_parquet(tmp_path / "saved.parquet")
    return tmp_path / "saved.parquet"


@pytest.fixture
def calibrated(gingham: Command, model: Path, saved: Path, tmp_path: Path) -> Path:
    out = tmp_path / "calibrated"
    result = gingham(
        *("calibrate", model, "--predictions", saved, "--out", out),
        *("--precision", "0.7", "--precision", "0.99", "--coverage", "0.9"),
    )
    assert result.code == 0, result.err
    return out


def test_calibrate_from_saved_predictions(gingham: Command, model: Path, saved: Path, tmp_path: Path) -> None:
    out, figures, picture = tmp_path / "m", tmp_path / "c.json", tmp_path / "c.png"
    result = gingham(
        *("calibrate", model, "--predictions", saved, "--out", out, "--json", figures, "--diagrams", picture),
        *("--precision", "0.7", "--precision", "0.99", "--joint", "--per-class"),
    )
    assert result.code == 0, result.err
    assert "60 photos fitted the calibration, 240 others tested it" in result.out
    assert "ECE before" in result.out
    assert "240 of 477 needed photos; nothing is accepted" in result.out
    assert "warning: the model was trained on a wardrobe" in result.err
    plain = json.loads(figures.read_text())
    assert [(one["precision"], one["joint"], one["per_class"]) for one in plain["decisions"]] == [
        (0.7, True, True),
        (0.99, True, True),
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert open_bundle(out).calibrated


def test_calibrate_from_photos(gingham: Command, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    result = gingham(
        "calibrate", model, "--data", wardrobe, "--split", "train", "--out", tmp_path / "m", "--device", "cpu"
    )
    assert result.code == 0, result.err
    assert "14 photos fitted the calibration; scores are cross-fitted" in result.out
    info = gingham("info", tmp_path / "m")
    assert "calibrated: data: " in info.out


def test_what_cannot_be(refused, model: Path, saved: Path, wardrobe: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert "give --data with --split, or --predictions" in refused("calibrate", model, "--out", out)
    assert "give --data with --split" in refused("calibrate", model, "--data", wardrobe, "--out", out)
    assert "--split: --predictions are made already" in refused(
        "calibrate", model, "--predictions", saved, "--split", "val", "--out", out
    )
    assert "--precision 95: must lie between 0 and 1" in refused(
        "calibrate", model, "--predictions", saved, "--out", out, "--precision", "95"
    )
    assert "--joint: of the thresholds for a promise" in refused(
        "calibrate", model, "--predictions", saved, "--out", out, "--joint"
    )
    assert "exists; choose another folder" in refused("calibrate", model, "--predictions", saved, "--out", wardrobe)
    other = tiny.bundle(tmp_path / "other", seed=9)
    assert "predictions of another model" in refused("calibrate", other, "--predictions", saved, "--out", out)
    assert not out.exists()


def test_predict_applies_what_is_stored(
    gingham: Command, refused, calibrated: Path, wardrobe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    result = gingham("predict", calibrated, wardrobe / "img", "--out", out, "--precision", "0.7", "--top-k", "2")
    assert result.code == 0, result.err
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == tiny.GARMENTS
    assert {type(row["pattern_accepted"]) for row in rows} == {bool}
    assert all(row["pattern"] for row in rows)
    assert "pattern_set" not in rows[0]
    options = json.loads((tmp_path / "t.parquet.manifest.json").read_text())["options"]
    assert (options["precision"], options["coverage"], options["top_k"]) == (0.7, None, 2)
    assert "this model stores thresholds for 0.7, 0.99" in refused(
        "predict", calibrated, wardrobe / "img", "--out", out, "--precision", "0.8"
    )
    assert "this model stores prediction sets for 0.9" in refused(
        "predict", calibrated, wardrobe / "img", "--out", out, "--coverage", "0.5"
    )


def test_evaluate_measures_confidences_and_promises(
    gingham: Command, calibrated: Path, wardrobe: Path, tmp_path: Path
) -> None:
    result = gingham("evaluate", calibrated, "--data", wardrobe, "--split", "val", "--json", tmp_path / "m.json")
    assert result.code == 0, result.err
    assert "Confidences, before and after calibration:" in result.out
    assert "Accepted by --precision 0.7 here:" in result.out
    plain = json.loads((tmp_path / "m.json").read_text())
    assert set(plain["calibration"]) == set(tiny.SCHEMA.names)
    labelled_count, accepted, right = plain["promises"][0]["kept"]["pattern"]
    assert right <= accepted <= labelled_count


def test_the_report_of_a_calibrated_model_has_both_reliabilities(
    gingham: Command, calibrated: Path, model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    """Those that `evaluate` measures; of a model that is not calibrated there is one."""
    page, figures = tmp_path / "r.html", tmp_path / "m.json"
    result = gingham("evaluate", calibrated, "--data", wardrobe, "--split", "val", "--report", page, "--json", figures)
    assert result.code == 0, result.err
    measured = json.loads(figures.read_text())["calibration"]
    table = page.read_text().partition("ECE uncalibrated")[2].partition("</table>")[0]
    for name in tiny.SCHEMA.names:
        row = table.partition(f">{name}<")[2].partition("</tr>")[0]
        for state in ("before", "after"):
            assert f"{100 * measured[name][state]['ece']['value']:.1f}" in row
    kept = json.loads(figures.read_text())["promises"][0]["kept"]["pattern"]
    row = page.read_text().partition('id="promises"')[2].partition(">pattern<")[2].partition("</tr>")[0]
    assert f"{100 * kept[2] / kept[1]:.1f}%" in row
    assert gingham("evaluate", model, "--data", wardrobe, "--split", "val", "--report", page).code == 0
    assert "ECE uncalibrated" not in page.read_text()


def test_evaluate_leaves_calibrated_tags_alone(refused, calibrated: Path, wardrobe: Path) -> None:
    assert "a calibrated model keeps its tags" in refused(
        "evaluate", calibrated, "--data", wardrobe, "--prior-correction"
    )


def test_ensembles_leave_calibrations_out_and_say_so(gingham: Command, calibrated: Path, tmp_path: Path) -> None:
    other = tiny.bundle(tmp_path / "other", seed=9)
    result = gingham("ensemble", calibrated, other, "--out", tmp_path / "joined")
    assert result.code == 0
    assert "its calibration is left out; an ensemble is calibrated as a whole" in result.err


def shifted(saved: Path, out: Path, *, rows: slice, bonus: float = 0.0) -> Path:
    own = Predictions.from_parquet(saved)
    logits = own.logits[rows].copy()
    logits[:, 0] += bonus
    Predictions(own.schema, own.ids[rows], logits, None, {}, own.source).to_parquet(out)
    return out


def test_monitor(gingham: Command, saved: Path, tmp_path: Path) -> None:
    reference = shifted(saved, tmp_path / "r.parquet", rows=slice(0, 150))
    same = shifted(saved, tmp_path / "s.parquet", rows=slice(150, 300))
    other = shifted(saved, tmp_path / "o.parquet", rows=slice(150, 300), bonus=5)
    result = gingham("monitor", reference, same)
    assert result.code == ExitCode.DONE
    assert "pattern: stands: nothing moved by 0.1 or more" in result.out
    result = gingham("monitor", reference, other, "--json", tmp_path / "f.json")
    assert result.code == ExitCode.PROMISE_BROKEN == 5
    lines = result.out.splitlines()
    assert [line.split(":")[1].strip() for line in lines[1:]] == ["no longer stands", *["stands"] * 5]
    assert len(lines) == 1 + len(tiny.SCHEMA)
    plain = json.loads((tmp_path / "f.json").read_text())
    assert plain["verdicts"][0]["status"] == "no longer stands"


def test_monitor_compares_tags_with_logits_by_the_model(
    gingham: Command, refused, calibrated: Path, wardrobe: Path, tmp_path: Path
) -> None:
    predictions, tags = tmp_path / "p.parquet", tmp_path / "t.parquet"
    gingham("evaluate", calibrated, "--data", wardrobe, "--split", "train", "--predictions", predictions)
    gingham("predict", calibrated, wardrobe, "--split", "train", "--out", tags, "--precision", "0.7")
    result = gingham("monitor", predictions, tags)
    assert result.code == 0
    assert "confidences are compared with --model only" in result.err
    assert "pattern: cannot be told: so few photos" in result.out
    result = gingham(
        "monitor", predictions, tags, "--model", calibrated, "--precision", "0.7", "--json", tmp_path / "f"
    )
    findings = json.loads((tmp_path / "f").read_text())["findings"]
    pattern = {one["measure"]: one["effect"] for one in findings if one["subject"] == "pattern"}
    assert pattern == {"class shares": 0.0, "confidence": pytest.approx(0, abs=0.15), "share accepted": 0.0}
    assert "leave it out" in refused("monitor", tags, tags, "--model", calibrated)
    assert "give it with --model" in refused("monitor", predictions, tags, "--precision", "0.7")


def test_monitor_refuses_what_it_cannot_compare(
    refused, model: Path, saved: Path, wardrobe: Path, tmp_path: Path
) -> None:
    assert "no such file" in refused("monitor", saved, tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_text("x")
    assert "not a readable Parquet file" in refused("monitor", saved, tmp_path / "x.parquet")
    pq.write_table(pq.read_table(saved).replace_schema_metadata({}), tmp_path / "plain.parquet")
    assert "neither predictions" in refused("monitor", saved, tmp_path / "plain.parquet")
    own = Predictions.from_parquet(saved)
    other = Predictions(own.schema, own.ids, own.logits, own.targets, {}, {"model": "another"})
    other.to_parquet(tmp_path / "other.parquet")
    assert "of different models" in refused("monitor", saved, tmp_path / "other.parquet")
    none = Predictions(own.schema, (), np.empty((0, own.schema.total), dtype=np.float32))
    none.to_parquet(tmp_path / "empty.parquet")
    assert "no tagged photo" in refused("monitor", saved, tmp_path / "empty.parquet")


def test_monitor_sees_in_tables_of_tags_that_photos_are_darker(
    gingham: Command, calibrated: Path, wardrobe: Path, tmp_path: Path
) -> None:
    (tmp_path / "dark").mkdir()
    for path in sorted((wardrobe / "img").glob("*.jpg"))[:60]:
        with Image.open(path) as photo:
            photo.point(lambda value: value // 3).save(tmp_path / "dark" / path.name, quality=95)
    common = ("--precision", "0.7", "--statistics")
    assert gingham("predict", calibrated, wardrobe / "img", *common, "--out", tmp_path / "r.parquet").code == 0
    assert gingham("predict", calibrated, tmp_path / "dark", *common, "--out", tmp_path / "d.parquet").code == 0
    result = gingham("monitor", tmp_path / "r.parquet", tmp_path / "d.parquet", "--json", tmp_path / "f.json")
    assert "not compared" not in result.err
    findings = json.loads((tmp_path / "f.json").read_text())["findings"]
    effects = {one["measure"]: one["effect"] for one in findings if one["subject"] == "photos"}
    assert effects["brightness"] > 0.9
    assert effects["width"] == effects["height"] == 0
