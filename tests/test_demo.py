"""The demo at a hundredth of its size."""

import csv
import json
from pathlib import Path

import pytest

from gingham.demo import run_demo
from gingham.errors import UserError
from gingham.inference.tagger import Tagger
from gingham.progress import Reporter

_CHANGES = (
    "model.backbone=test_resnet",
    "model.weights=none",
    "model.query2label.width=16",
    "model.query2label.ffn=16",
    "preprocess.size=64",
    "augment.resize=72",
    "train.epochs=1",
)


def test_the_demo_leaves_a_tagger_and_its_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "demo"
    result = run_demo(out, count=20, changes=_CHANGES, reporter=Reporter())
    assert result.metrics.n == 3
    assert all(path.exists() for path in result.files.values())
    assert json.loads((out / "metrics-test.json").read_text())["n"] == 3
    assert list(result.files)[-1] == "the report"
    page = result.files["the report"].read_text()
    assert "held-out part" in page
    assert 'id="training"' in page
    assert page.count('alt="Photo img/') >= 3
    with (out / "tags.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3
    assert Tagger.load(out, device="cpu").hash
    with pytest.raises(UserError, match="not an empty folder"):
        run_demo(out, reporter=Reporter())
