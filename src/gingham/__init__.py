"""Gingham tags garment photos with several attributes at once, and trains, measures and ships such taggers."""

from typing import TYPE_CHECKING, Any

__all__ = ["AttributeSchema", "GinghamError", "Predictions", "Tagger", "__version__"]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gingham.errors import GinghamError
    from gingham.inference.tagger import Tagger
    from gingham.predictions import Predictions
    from gingham.schema import AttributeSchema

_HOMES = {
    "AttributeSchema": "gingham.schema",
    "GinghamError": "gingham.errors",
    "Predictions": "gingham.predictions",
    "Tagger": "gingham.inference.tagger",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `gingham --help` pays for neither torch nor numpy.
    if name not in _HOMES:
        raise AttributeError(f"module 'gingham' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
