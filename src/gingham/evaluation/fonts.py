"""Fonts for names in any script: Matplotlib's own one, and for what it lacks those of the machine."""

import functools
import io
import warnings
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

__all__ = ["MissingFontWarning", "font_file", "rendered"]

_OWN = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
_PLACEHOLDERS = ("LastResort", "Emoji")
"""Fonts that draw boxes for every character, and coloured ones, which Matplotlib cannot draw."""


class MissingFontWarning(UserWarning):
    """No font of this machine has some characters; boxes are drawn in their place."""


def rendered(figure: Figure, kind: Literal["png", "svg"] = "png") -> bytes:
    """A figure, which has a canvas, as a file with fonts for all of its text. Equal figures give equal bytes."""
    texts = [found for found in figure.findobj(Text) if isinstance(found, Text)]
    if fonts := _fonts_for("".join(text.get_text() for text in texts)):
        families = [_family(path) for path in (_OWN, *fonts)]
        for text in texts:
            text.set_fontfamily(families)
    stream = io.BytesIO()
    # Neither a version, nor a date, nor random names within.
    metadata = {"Software": None} if kind == "png" else {"Date": None}
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "gingham"}):
        # Said once, by `_fonts_for`, and not for each of them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format=kind, metadata=metadata)
    return stream.getvalue()


def font_file(text: str) -> Path:
    """The font that has the most characters of a text, Matplotlib's own if it has them all."""
    fonts = (_OWN, *_fonts_for(text))
    return max(fonts, key=lambda path: sum(ord(character) in _characters(path) for character in text))


def _fonts_for(text: str) -> tuple[Path, ...]:
    """Fonts for what Matplotlib's own one lacks, the one with most of it first; a warning names what none has."""
    lacking = {ord(character) for character in text if character.isprintable()} - _characters(_OWN)
    found = []
    while lacking:
        best = max(_of_machine(), key=lambda path: len(lacking & _characters(path)), default=_OWN)
        if not lacking & _characters(best):
            few = "".join(list(dict.fromkeys(character for character in text if ord(character) in lacking))[:10])
            hint = "install one (on Debian fonts-noto-core or fonts-noto-cjk)"
            warnings.warn(f"no font has {few!r}: boxes are drawn; {hint}", MissingFontWarning, stacklevel=3)
            break
        found.append(best)
        lacking -= _characters(best)
    return tuple(found)


@functools.cache
def _of_machine() -> tuple[Path, ...]:
    """Upright fonts of regular weight, in the order of their names; those installed after Matplotlib looked, too."""
    known = {entry.fname: entry for entry in font_manager.fontManager.ttflist}
    regular = [
        Path(path)
        for path, entry in known.items()
        if entry.style == "normal" and entry.weight in (400, "normal", "regular")
    ]
    new = [Path(path) for path in font_manager.findSystemFonts() if path not in known]
    return tuple(sorted(path for path in [*regular, *new] if not any(name in path.name for name in _PLACEHOLDERS)))


@functools.cache
def _characters(path: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@functools.cache
def _family(path: Path) -> str:
    """The name by which Matplotlib finds a font."""
    if all(entry.fname != str(path) for entry in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(str(path))
    return FT2Font(str(path)).family_name
