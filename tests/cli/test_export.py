"""`gingham export`: a thin verb; what it does is tested in tests/export."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.evaluation import agreement as agreements
from gingham.evaluation.agreement import Bound
from gingham.export import export as module
from gingham.inference.bundle import open_bundle

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


def test_a_checked_export_prints_its_figures(
    gingham: Call, model: Path, wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = dict.fromkeys(agreements.BOUNDS, Bound(tags=0, accuracy=1, logits=9))
    monkeypatch.setattr(module, "BOUNDS", loose)
    pair = ("--to", "torch", "--precision", "bf16")
    code, stdout, _ = gingham("export", model, *pair, "--data", wardrobe, "--split", "train", "--out", tmp_path / "new")
    assert code == 0
    assert "tags that stay" in stdout
    assert all(name in stdout for name in ("pattern", "sleeve", "fit", "all"))
    assert "mean class accuracy" in stdout
    assert f"torch bf16: {tmp_path / 'new'}" in " ".join(stdout.split())
    assert open_bundle(tmp_path / "new").precision == "bf16"


def test_refusals(gingham: Call, refused: Refused, model: Path, wardrobe: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "new")
    assert "--unchecked" in refused("export", model, "--to", "torch", *out)
    assert "no such pair" in refused("export", model, "--to", "onnx", "--precision", "bf16", "--data", wardrobe, *out)
    assert "--data" in refused("export", model, "--to", "torch", "--unchecked", "--max-pixels", "9", *out)
    assert "'tensorrt' is not one of" in refused("export", model, "--to", "tensorrt", *out)
    assert not (tmp_path / "new").exists()
    code, stdout, _ = gingham("export", model, "--to", "torch", "--unchecked", *out)
    assert (code, stdout.splitlines()[0]) == (
        0,
        "not checked: nothing shows that its answers are those of the model",
    )
    assert "exists" in refused("export", model, "--to", "torch", "--unchecked", *out)
    assert "exported" in refused("export", tmp_path / "new", "--to", "torch", "--unchecked", "--out", tmp_path / "more")
