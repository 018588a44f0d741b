"""Names in any script are drawn, by the machine's fonts; where none has them that is said, in one line."""

import io
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gingham.evaluation import fonts
from gingham.evaluation.fonts import MissingFontWarning, font_file, rendered

FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")


@pytest.fixture(autouse=True)
def only_those_that_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_of_machine", lambda: (FONTS / "STIXGeneral.ttf", FONTS / "cmr10.ttf"))


def drawn(text: str) -> np.ndarray:
    figure = Figure(figsize=(2, 1), dpi=50)
    FigureCanvasAgg(figure)
    figure.text(0.1, 0.4, text)
    with Image.open(io.BytesIO(rendered(figure))) as image:
        return np.asarray(image.convert("L"))


def test_what_the_own_font_has_is_drawn_by_it() -> None:
    assert font_file("Ärmel, рукав, μανίκι").name == "DejaVuSans.ttf"


def test_what_it_lacks_is_drawn_by_another() -> None:
    # A script g, which STIX has and DejaVu has not; beside it, a box would be.
    assert font_file("\u210a").name == "STIXGeneral.ttf"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = drawn("\u210a")
    with pytest.warns(MissingFontWarning):
        box = drawn("模")
    assert not np.array_equal(found, box)
    assert (found < 128).any()


def test_what_no_font_has_is_named_once_and_drawn_as_boxes() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn("模様模様")
    assert [str(one.message) for one in caught] == [
        "no font has '模様': boxes are drawn; install one (on Debian fonts-noto-core or fonts-noto-cjk)"
    ]


def test_control_characters_ask_for_no_font() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert font_file("a\tb\u202e").name == "DejaVuSans.ttf"


def test_a_file_that_is_no_font_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    monkeypatch.setattr(fonts, "_of_machine", lambda: (tmp_path / "broken.ttf", FONTS / "STIXGeneral.ttf"))
    assert font_file("\u210a").name == "STIXGeneral.ttf"
