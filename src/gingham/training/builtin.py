"""The recipes and studies that come along, as text: nothing heavy is needed to list or copy them."""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable

from gingham.errors import RecipeError

__all__ = ["builtin_recipes", "builtin_studies", "recipe_text", "study_text"]


def builtin_recipes() -> dict[str, str]:
    """Name -> first comment line of each recipe in the package."""
    return _first_lines("recipes")


def builtin_studies() -> dict[str, str]:
    """Name -> first comment line of each study in the package."""
    return _first_lines("studies")


def recipe_text(name: str) -> str:
    """The commented YAML of a built-in recipe.

    Raises:
        RecipeError: no such recipe; names the nearest.
    """
    return _text("recipes", "recipe", name)


def study_text(name: str) -> str:
    """The commented YAML of a built-in study.

    Raises:
        RecipeError: no such study; names the nearest.
    """
    return _text("studies", "study", name)


def _folder(kind: str) -> Traversable:
    return resources.files("gingham") / "resources" / kind


def _first_lines(kind: str) -> dict[str, str]:
    texts = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in _folder(kind).iterdir()
        if entry.name.endswith(".yaml")
    }
    return {name: text.splitlines()[0].lstrip("# ") for name, text in sorted(texts.items())}


def _text(kind: str, noun: str, name: str) -> str:
    known = _first_lines(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}, or give a file"
        raise RecipeError(f"{noun} '{name}': no such built-in {noun}; {hint}")
    return (_folder(kind) / f"{name}.yaml").read_text(encoding="utf-8")
