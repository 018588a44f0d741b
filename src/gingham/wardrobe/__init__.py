"""The synthetic wardrobe: garments drawn with all six attributes of the built-in schema `deepfashion`."""

from gingham.wardrobe.classes import CLASSES
from gingham.wardrobe.generate import FEWEST, Piece, draw_labels, garment, generate
from gingham.wardrobe.render import Garment, render
from gingham.wardrobe.sheet import contact_sheet
from gingham.wardrobe.style import CHOICES, RANGES, Style, draw_style

__all__ = [
    "CHOICES",
    "CLASSES",
    "FEWEST",
    "RANGES",
    "Garment",
    "Piece",
    "Style",
    "contact_sheet",
    "draw_labels",
    "draw_style",
    "garment",
    "generate",
    "render",
]
