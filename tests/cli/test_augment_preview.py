from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.cli.conftest import Command


def test_a_sheet_of_the_wardrobe(gingham: Command, wardrobe: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    arguments = ["--data", wardrobe, "--recipe", "laptop", "--images", "2", "--views", "2"]
    code, out, err = gingham("augment-preview", *arguments, "--set", "mix.cutmix=1", "--out", sheet)
    assert (code, out) == (0, "")
    assert f"{sheet}: 2 images" in err
    with Image.open(sheet) as page:
        # Three columns and four rows of squares with their captions.
        assert page.width > 3 * 190
        assert page.height > 4 * 190


def test_mistakes_are_said_in_a_line(refused: Callable[..., str], wardrobe: Path, tmp_path: Path) -> None:
    base = ["augment-preview", "--data", wardrobe]
    sheet = tmp_path / "sheet.png"
    assert "--recipe" in refused(*base, "--out", sheet)
    assert "must be .png" in refused(*base, "--recipe", "laptop", "--out", tmp_path / "sheet.jpg")
    assert "did you mean 'augment.rotation'?" in refused(
        *base, "--recipe", "laptop", "--out", sheet, "--set", "augment.rotatoin=3"
    )
    crops = ["--set", "augment.crop_area=[0.5, 1]"]
    assert "set augment.resize=null" in refused(*base, "--recipe", "laptop-report", "--out", sheet, *crops)
    assert "no such" in refused("augment-preview", "--data", tmp_path / "none", "--recipe", "laptop", "--out", sheet)
    assert not sheet.exists()
