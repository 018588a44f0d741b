"""The recipes that come along, as text: nothing heavy is needed to list or copy them."""

import difflib
from importlib import resources

from gingham.errors import RecipeError

__all__ = ["builtin_recipes", "recipe_text"]


def builtin_recipes() -> dict[str, str]:
    """Name -> first comment line of each recipe in the package."""
    folder = resources.files("gingham") / "resources" / "recipes"
    texts = {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
    return {name: text.splitlines()[0].lstrip("# ") for name, text in sorted(texts.items())}


def recipe_text(name: str) -> str:
    """The commented YAML of a built-in recipe.

    Raises:
        RecipeError: no such recipe; names the nearest.
    """
    known = builtin_recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}, or give a file"
        raise RecipeError(f"recipe '{name}': no such built-in recipe; {hint}")
    return (resources.files("gingham") / "resources" / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
