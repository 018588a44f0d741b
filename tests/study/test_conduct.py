"""Conducting studies: what is trained, what a kill leaves, what is refused, and that the table is right."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from gingham.errors import UserError
from gingham.evaluation.bootstrap import paired_bootstrap
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.prior import cross_fitted
from gingham.predictions import Predictions
from gingham.study import conduct as module
from gingham.study.conduct import conduct
from gingham.study.plan import load_plan
from tests.study.conftest import tiny_study

Write = Callable[..., Path]

RUNS = ("plain", "focal")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The folder of two runs with two seeds on two folds, conducted without disturbance; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_study()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        # Half of the work of runs as small as these.
        patch.setattr("gingham.training.run.plot_curves", lambda columns, path: None)
        conduct(load_plan(str(file)), photos / "labels.csv", folder / "out", device="cpu")
    return folder / "out"


def table(out: Path) -> dict[str, dict[str, str]]:
    """The table by run, without what a clock measured."""
    with (out / "table.csv").open(newline="") as stream:
        return {row.pop("run"): {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)}


def recalls(file: Path) -> dict[str, float]:
    """Class -> share found, counted row by row from the bare Parquet file."""
    rows = pq.read_table(file).to_pylist()
    logits: dict[str, list[str]] = {}
    for name in rows[0]:
        if name.startswith("logit:"):
            logits.setdefault(name.removeprefix("logit:").split("/")[0], []).append(name)
    found: dict[str, list[bool]] = {}
    for row in rows:
        for attribute, columns in logits.items():
            target = row[f"target:{attribute}"]
            if target >= 0:
                best = max(range(len(columns)), key=lambda column: row[columns[column]])
                found.setdefault(columns[target], []).append(best == target)
    return {name: sum(hits) / len(hits) for name, hits in found.items()}


def test_every_photo_is_predicted_once_by_a_model_that_has_not_seen_it(study: Path, photos: Path) -> None:
    for run in RUNS:
        for seed in (0, 1):
            predictions = Predictions.from_parquet(study / "predictions" / f"{run}-seed-{seed}.parquet")
            assert sorted(predictions.ids) == sorted(path.name for path in photos.glob("*.png"))
            for fold in (0, 1):
                folder = study / "runs" / run / f"seed-{seed}" / f"fold-{fold}"
                part = Predictions.from_parquet(folder / "predictions-val.parquet")
                inside = predictions.columns["fold"] == fold
                assert tuple(np.array(predictions.ids)[inside]) == part.ids
                assert (predictions.logits[inside] == part.logits).all()


def test_the_tables_numbers_are_those_of_the_prediction_files(study: Path) -> None:
    rows = table(study)
    assert list(rows) == list(RUNS)
    for run, row in rows.items():
        files = [study / "predictions" / f"{run}-seed-{seed}.parquet" for seed in (0, 1)]
        by_seed = [recalls(file) for file in files]
        means = [np.mean(list(found.values())) for found in by_seed]
        assert float(row["mean_class_accuracy"]) == pytest.approx(np.mean(means))
        assert float(row["mean_class_accuracy_sd"]) == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
        rest = [np.mean([value for name, value in found.items() if not name.endswith("hue/blue")]) for found in by_seed]
        assert float(row["without_rarest_class"]) == pytest.approx(np.mean(rest))
        for attribute in ("hue", "tone"):
            own = [[v for name, v in found.items() if name.startswith(f"logit:{attribute}/")] for found in by_seed]
            assert float(row[f"{attribute}_mean_class_accuracy"]) == pytest.approx(np.mean(own))
        saved = [Predictions.from_parquet(file) for file in files]
        corrected = [evaluate(cross_fitted(one, one.columns["fold"])).mean_class_accuracy for one in saved]
        assert float(row["prior_corrected"]) == pytest.approx(np.mean(corrected))
        assert float(row["overall_accuracy"]) == pytest.approx(
            np.mean([evaluate(one).overall_accuracy for one in saved])
        )
        assert row["seeds"] == "0 1"
    assert rows["plain"]["difference"] == ""
    gain = float(rows["focal"]["mean_class_accuracy"]) - float(rows["plain"]["mean_class_accuracy"])
    assert float(rows["focal"]["difference"]) == pytest.approx(gain)


def test_the_rarest_class_is_named(study: Path) -> None:
    plain = json.loads((study / "study.json").read_text())
    assert plain["rarest_class"] == "hue/blue"
    assert plain["examples"]["hue/blue"] == min(plain["examples"].values())
    assert "all classes but hue/blue" in (study / "table.md").read_text()


def test_files_of_a_study_can_be_compared(study: Path) -> None:
    files = [Predictions.from_parquet(study / "predictions" / f"{run}-seed-0.parquet") for run in RUNS]
    assert paired_bootstrap(*files).n == 36


def test_plots_and_record_are_there(study: Path) -> None:
    for name in ("study.png", "attributes.png"):
        assert (study / name).read_bytes().startswith(b"\x89PNG")
    assert "focal" in (study / "study.yaml").read_text()


def same_as(study: Path, out: Path) -> bool:
    """Whether two studies have the same table and, bit for bit, predictions."""
    files = [(out / "predictions" / file.name, file) for file in (study / "predictions").iterdir()]
    pairs = [[Predictions.from_parquet(file) for file in pair] for pair in files]
    equal = all(mine.ids == other.ids and (mine.logits == other.logits).all() for mine, other in pairs)
    return equal and table(out) == table(study)


def test_what_is_not_done_is_trained_and_ends_the_same(
    study: Path, study_file: Write, photos: Path, tmp_path: Path
) -> None:
    """One fold out of eight."""
    out = tmp_path / "out"
    shutil.copytree(study, out)
    (out / "predictions" / "focal-seed-1.parquet").unlink()
    shutil.rmtree(out / "runs" / "focal" / "seed-1" / "fold-1")
    conduct(load_plan(str(study_file())), photos / "labels.csv", out, device="cpu")
    assert same_as(study, out)


@pytest.mark.long
def test_killed_and_called_again_it_ends_the_same(study: Path, study_file: Write, photos: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out", photos / "labels.csv"
    command = [sys.executable, "-m", "gingham", "study", study_file(), "--data", data, "--out", out, "--device", "cpu"]
    job = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    moment = out / "runs" / "focal" / "seed-0" / "fold-1" / "history.csv"
    while not moment.exists():
        assert job.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert list(table(out)) == ["plain"], "the table holds what was done"
    assert not (out / "predictions" / "focal-seed-0.parquet").exists()
    conduct(load_plan(str(study_file())), data, out, device="cpu")
    assert same_as(study, out)


def nothing_trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Lets a test see which runs would be trained, without training."""
    trained: list[Path] = []

    def finish(folder: Path, *arguments: Any, **options: Any) -> None:
        trained.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "finish_run", finish)
    return trained


def test_what_is_done_is_not_trained_again(
    study: Path, study_file: Write, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = nothing_trained(monkeypatch)
    rows = conduct(load_plan(str(study_file())), photos / "labels.csv", study, device="cpu")
    assert not trained
    assert rows["plain"].seeds == (0, 1)


def test_runs_and_seeds_may_be_added(
    study: Path, study_file: Write, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(study, out)
    trained = nothing_trained(monkeypatch)
    more = load_plan(str(study_file(seeds=[0, 1, 2], runs={"focal": {"loss.name": "focal"}, "plain": {}})))
    with pytest.raises(KeyboardInterrupt):
        conduct(more, photos / "labels.csv", out, only=["focal"], device="cpu")
    runs = {"focal": {"loss.name": "focal"}, "plain": {}, "new": {"train.epochs": 1}}
    with pytest.raises(KeyboardInterrupt):
        conduct(load_plan(str(study_file(seeds=[0, 1, 2], runs=runs)), seeds=[0]), photos / "labels.csv", out)
    assert [folder.relative_to(out / "runs").as_posix() for folder in trained] == [
        "focal/seed-2/fold-0",
        "new/seed-0/fold-0",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": {"plain": {}}}, "run 'focal' is no longer in study"),
        (
            {"runs": {"plain": {}, "focal": {"loss.name": "ldam"}}},
            "run 'focal': .* loss.name is 'ldam' here and 'focal' there",
        ),
        ({"seeds": [0]}, "seed 1 is no longer in study"),
        ({"folds": 3}, "folds is 3 now and was 2"),
        ({"baseline": "focal"}, "baseline is focal now and was plain"),
    ],
)
def test_other_changes_are_refused(
    study: Path, study_file: Write, photos: Path, changes: dict[str, Any], message: str
) -> None:
    before = (study / "study.yaml").read_bytes()
    with pytest.raises(UserError, match=message):
        conduct(load_plan(str(study_file(**changes))), photos / "labels.csv", study, device="cpu")
    assert (study / "study.yaml").read_bytes() == before


def test_other_data_and_other_folders_are_refused(study: Path, study_file: Write, photos: Path, tmp_path: Path) -> None:
    plan = load_plan(str(study_file()))
    with pytest.raises(UserError, match="began with --data"):
        conduct(plan, tmp_path, study, device="cpu")
    with pytest.raises(UserError, match="neither empty nor a study"):
        conduct(plan, photos / "labels.csv", photos, device="cpu")
    with pytest.raises(UserError, match="no run 'focl'; there are plain, focal"):
        conduct(plan, photos / "labels.csv", tmp_path / "out", only=["focl"], device="cpu")


def test_a_recipe_that_the_data_refuse_is_an_error_before_anything_is_trained(
    study_file: Write, photos: Path, tmp_path: Path
) -> None:
    plan = load_plan(str(study_file(runs={"plain": {}, "boxes": {"preprocess.region": "box"}})))
    with pytest.raises(UserError, match=r"run 'boxes': .*no training image has a garment box"):
        conduct(plan, photos / "labels.csv", tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_damaged_predictions_are_said(study: Path, study_file: Write, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "out")
    (tmp_path / "out" / "predictions" / "focal-seed-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"focal-seed-1\.parquet: not a readable Parquet file"):
        conduct(load_plan(str(study_file())), photos / "labels.csv", tmp_path / "out", device="cpu")
