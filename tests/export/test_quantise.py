"""Eight bits: how a network is quantised, with what care, and what stays in float."""

from pathlib import Path

import numpy as np
import pytest

from gingham.data.table import LabelTable
from gingham.export.export import export_bundle
from gingham.inference.bundle import Bundle
from gingham.inference.tagger import Tagger


@pytest.mark.usefixtures("any_bound")
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_int8_takes_its_ranges_from_other_photos(
    wardrobe: LabelTable, bundle: Bundle, tmp_path: Path, runtime: str
) -> None:
    found = export_bundle(bundle, tmp_path / "new", runtime=runtime, precision="int8", table=wardrobe, split="val")
    table = wardrobe.split("val")
    before, after = (Tagger.load(path, device="cpu").predict(table) for path in (bundle.path, tmp_path / "new"))
    difference = np.abs(after.logits - before.logits).max()
    assert 1e-3 < difference < 0.5 * before.logits.std()
    assert len(found.care) == 1
    assert found.care[0] in found.bundle.exported["quantised"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.suffix in {".onnx", ".xml", ".bin"}) == (
        ["model.bin", "model.xml"] if runtime == "openvino" else ["model.onnx"]
    )
