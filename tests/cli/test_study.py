"""`gingham study` as a user types it. What a study does is tested in tests/study."""

import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from gingham.predictions import Predictions
from gingham.training.builtin import builtin_studies
from tests.study.conftest import tiny_study
from tests.training import conftest as training

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]

photos = training.photos


def test_without_a_name_it_lists_them(gingham: Call) -> None:
    code, stdout, _ = gingham("study")
    assert code == 0
    assert [line.split()[0] for line in stdout.splitlines()] == list(builtin_studies())


def test_a_study_prints_its_table(gingham: Call, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny_study(), sort_keys=False))
    data, out = photos / "labels.csv", tmp_path / "out"
    arguments = ("study", tmp_path / "mine.yaml", "--data", data, "--out", out, "--device", "cpu")
    options = ("--only", "focal", "--only", "plain", "--seeds", "3", "--set", "train.epochs=1")
    code, stdout, stderr = gingham(*arguments, *options)
    assert code == 0, stderr
    assert "| **plain** (baseline) | 3 |" in stdout
    assert "| focal | 3 |" in stdout
    assert (out / "table.md").read_text().strip() == stdout.strip()
    assert "focal, seed 3: mean class accuracy" in stderr
    assert not list(out.rglob("checkpoints"))
    code, again, _ = gingham(*arguments, *options)
    assert (code, again) == (0, stdout)


def test_mistakes_are_one_line(refused: Refused, wardrobe: Path, tmp_path: Path) -> None:
    assert "did you mean 'loss'" in refused("study", "los", "--data", wardrobe, "--out", tmp_path / "out")
    assert "--data: needed" in refused("study", "loss", "--out", tmp_path / "out")
    assert "--out: needed" in refused("study", "loss", "--data", wardrobe)
    assert "whole numbers are needed" in refused("study", "loss", "--seeds", "0,x")
    assert "no run 'focal'; there are weighted-ce" in refused(
        "study", "loss", "--data", wardrobe, "--out", tmp_path / "out", "--only", "focal"
    )
    assert not (tmp_path / "out").exists()


def test_unreadable_images_are_left_out_when_asked(
    gingham: Call, refused: Refused, photos: Path, tmp_path: Path
) -> None:
    data, out = shutil.copytree(photos, tmp_path / "data") / "labels.csv", tmp_path / "out"
    (data.parent / "04.png").write_bytes(b"no picture")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny_study(seeds=[0]), sort_keys=False))
    arguments = ("study", tmp_path / "mine.yaml", "--data", data, "--out", out, "--only", "plain", "--device", "cpu")
    message = refused(*arguments)
    assert "04.png" in message
    assert "--skip-unreadable" in message
    assert not out.exists()
    code, _, stderr = gingham(*arguments, "--skip-unreadable")
    assert code == 0, stderr
    found = Predictions.from_parquet(out / "predictions" / "plain-seed-0.parquet")
    assert len(found) == 35
    assert "04.png" not in found.ids
    assert "began with --leaks drop --skip-unreadable 0.1, not --leaks drop" in refused(*arguments)
