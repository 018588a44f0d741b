from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from gingham.wardrobe import contact_sheet
from gingham.wardrobe.__main__ import main


def test_too_narrow_a_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="per_row 6 is too small: an attribute has 7 classes"):
        contact_sheet(per_row=6)


def test_the_command_writes_a_sheet_with_a_row_per_attribute(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    done = CliRunner().invoke(main, ["--sheet", str(out), "--size", "32", "--per-row", "7"])
    assert done.exit_code == 0, done.output
    with Image.open(out) as sheet:
        assert sheet.size == (7 * 35 + 3, 6 * 51 + 3)
