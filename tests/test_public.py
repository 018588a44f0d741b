"""What users may rely on: the names of the package, and that importing it costs next to nothing."""

import re
import subprocess
import sys

import pytest

import gingham


def test_the_public_names() -> None:
    assert gingham.__all__ == ["AttributeSchema", "GinghamError", "Predictions", "Tagger", "__version__"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", gingham.__version__)


def test_each_name_is_what_its_module_defines() -> None:
    from gingham.errors import GinghamError
    from gingham.inference.tagger import Tagger
    from gingham.predictions import Predictions
    from gingham.schema import AttributeSchema

    assert gingham.GinghamError is GinghamError
    assert gingham.Tagger is Tagger
    assert gingham.Predictions is Predictions
    assert gingham.AttributeSchema is AttributeSchema


def test_a_star_import_brings_them_all() -> None:
    names: dict[str, object] = {}
    exec("from gingham import *", names)
    assert set(gingham.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gingham' has no attribute 'Tager'"):
        _ = gingham.Tager


def test_importing_is_light_and_names_come_on_use() -> None:
    code = """
import sys
import gingham
assert not {"torch", "numpy", "click"} & set(sys.modules)
gingham.AttributeSchema.of({"a": ["b", "c"]})
assert not {"torch", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
