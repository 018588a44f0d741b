import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gingham.errors import SchemaError
from gingham.schema import RESERVED_NAMES, UNLABELLED, Attribute, AttributeSchema

SCHEMA = AttributeSchema.of({"colour": ["red", "blue"], "sleeve": ["long", "short", "none"]})

_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=9
)
schemas = st.dictionaries(
    _names.map(lambda name: f"x{name}x"), st.lists(_names, min_size=2, max_size=5, unique=True), min_size=1, max_size=4
).map(AttributeSchema.of)


@pytest.mark.parametrize(
    "classes",
    [
        {f"a{n}": ["x", "y"] for n in range(1001)},
        {f"a{n}": [f"{c}" for c in range(2001)] for n in range(10)},
        {"a": ["x", "y" * 201]},
        {"a" * 201: ["x", "y"]},
        {"a": ["x", "y\x9b31m"]},
        {"a\x7f": ["x", "y"]},
    ],
)
def test_what_nobody_names_garments_by_is_refused(classes: dict[str, list[str]]) -> None:
    with pytest.raises(SchemaError, match=r"at most|control character"):
        AttributeSchema.of(classes)


def test_large_schemas_are_fine() -> None:
    assert len(AttributeSchema.of({f"a{n}": ["x", "y"] for n in range(1000)})) == 1000
    assert AttributeSchema.of({"a": [f"{c}" for c in range(20_000)]}).total == 20_000


def test_the_built_in_schema_is_that_of_the_challenge() -> None:
    schema = AttributeSchema.builtin("deepfashion")
    assert schema.names == ("pattern", "sleeve", "length", "neckline", "fabric", "fit")
    assert schema.sizes == (7, 3, 3, 4, 6, 3)
    assert schema.total == 26
    assert schema["fabric"].classes == ("denim", "chiffon", "cotton", "leather", "faux", "knit")
    # Artifacts in the world carry it: it must never change.
    assert schema.fingerprint == "c6d8bc233d6c20af8ee0f34db60b46ab09440ae1d31510a3d0636aacb63c50ac"


def test_slices_and_columns() -> None:
    assert SCHEMA.slices == (slice(0, 2), slice(2, 5))
    assert SCHEMA.columns == ("colour/red", "colour/blue", "sleeve/long", "sleeve/short", "sleeve/none")
    assert len(SCHEMA) == 2
    assert str(SCHEMA) == f"colour (2), sleeve (3) [{SCHEMA.fingerprint[:12]}]"


@given(schemas)
def test_slices_cover_the_logits(schema: AttributeSchema) -> None:
    positions = np.arange(schema.total)
    assert np.concatenate([positions[part] for part in schema.slices]).tolist() == positions.tolist()
    assert [part.stop - part.start for part in schema.slices] == list(schema.sizes)
    assert len(set(schema.columns)) == schema.total


@given(schemas, st.data())
def test_encode_and_decode_are_inverse(schema: AttributeSchema, data: st.DataObject) -> None:
    targets = [data.draw(st.integers(UNLABELLED, size - 1)) for size in schema.sizes]
    encoded = schema.encode(schema.decode(targets))
    assert encoded.dtype == np.int64
    assert encoded.tolist() == targets


def test_encode_fills_what_is_missing() -> None:
    assert SCHEMA.encode({}).tolist() == [-1, -1]
    assert SCHEMA.encode({"sleeve": "none", "colour": None}).tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"color": "red"}, "unknown attribute 'color'; did you mean 'colour'?"),
        ({"zzz": "red"}, "unknown attribute 'zzz'; there are colour, sleeve"),
        ({"sleeve": "shirt"}, "attribute 'sleeve': unknown class 'shirt'; did you mean 'short'?"),
        ({"sleeve": "SHORT"}, "attribute 'sleeve': unknown class 'SHORT'; did you mean 'short'?"),
        ({"colour": "zzz"}, "attribute 'colour': unknown class 'zzz'; it has red, blue"),
    ],
)
def test_encode_names_what_is_unknown(labels: dict[str, str], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        SCHEMA.encode(labels)
    assert str(caught.value) == message


@pytest.mark.parametrize("targets", [[2, 0], [0, 3], [-2, 0], [0], [0, 0, 0]])
def test_decode_refuses_what_is_out_of_range(targets: list[int]) -> None:
    with pytest.raises(SchemaError):
        SCHEMA.decode(targets)


@given(schemas)
def test_round_trip_through_plain_values(schema: AttributeSchema) -> None:
    again = AttributeSchema.from_plain(json.loads(json.dumps(schema.to_plain())))
    assert again == schema
    assert again.fingerprint == schema.fingerprint


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"schema{suffix}"
    path.write_text(json.dumps(SCHEMA.to_plain()) if suffix == ".json" else yaml.safe_dump(SCHEMA.to_plain()))
    assert AttributeSchema.from_file(path) == SCHEMA
    assert AttributeSchema.load(str(path)) == SCHEMA


def test_load_finds_built_in_schemas() -> None:
    assert AttributeSchema.load("deepfashion") == AttributeSchema.builtin("deepfashion")
    with pytest.raises(SchemaError, match=r"schema 'deepfashoin': no such built-in schema; there are .*deepfashion"):
        AttributeSchema.load("deepfashoin")
    with pytest.raises(SchemaError, match="no such file"):
        AttributeSchema.load("deepfashoin.yaml")


def test_the_fingerprint_depends_on_names_classes_and_order() -> None:
    others = [
        {"sleeve": ["long", "short", "none"], "colour": ["red", "blue"]},
        {"colour": ["blue", "red"], "sleeve": ["long", "short", "none"]},
        {"color": ["red", "blue"], "sleeve": ["long", "short", "none"]},
        {"colour": ["red", "blue", "long"], "sleeve": ["short", "none"]},
    ]
    fingerprints = {AttributeSchema.of(other).fingerprint for other in others} | {SCHEMA.fingerprint}
    assert len(fingerprints) == 5


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"colour": ["red", "blue"], "sleeve": ["long", "short", "cap"]}, "attribute 'sleeve', classes cap, none"),
        ({"colour": ["red", "blue"], "fit": ["loose", "tight"]}, "attributes fit, sleeve"),
        ({"colour": ["blue", "red"], "sleeve": ["long", "short", "none"]}, "the order of attributes or classes"),
    ],
)
def test_require_same(other: dict[str, list[str]], difference: str) -> None:
    SCHEMA.require_same(AttributeSchema.of(SCHEMA.to_plain()), "a", "b")
    theirs = AttributeSchema.of(other)
    with pytest.raises(SchemaError) as caught:
        SCHEMA.require_same(theirs, "the bundle", "the table")
    assert str(caught.value) == (
        f"the schema of the bundle is {SCHEMA}, that of the table is {theirs}: they differ in {difference}"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "s: expected attribute names with lists of classes, got list"),
        (None, "s: expected attribute names with lists of classes, got NoneType"),
        ({}, "s: schema: it has no attributes; name at least one"),
        ({"a": "b"}, "s: attribute 'a': expected a list of classes, got 'b'"),
        ({"a": None}, "s: attribute 'a': expected a list of classes, got None"),
        ({1: ["a", "b"]}, "s: attribute 1 is not text; put it in quotes"),
        ({"a": ["x", False]}, "s: attribute 'a': class False is not text; put it in quotes"),
        ({"a": []}, "s: attribute 'a': it has no classes; name at least two"),
        ({"a": ["x"]}, "s: attribute 'a': it has one class ('x'); name at least two"),
        ({"a": ["x", "y", "x"]}, "s: attribute 'a': class 'x' occurs twice"),
        ({"a": ["x", " y"]}, "s: attribute 'a': class ' y' must be text without blanks around it"),
        ({"a": ["x", ""]}, "s: attribute 'a': class '' must be text without blanks around it"),
        ({"a": ["x", "y\nz"]}, "s: attribute 'a': class 'y\\nz' holds a control character"),
        ({"": ["x", "y"]}, "s: attribute '': a name must be text without blanks around it"),
        ({" a": ["x", "y"]}, "s: attribute ' a': a name must be text without blanks around it"),
        ({"a/b": ["x", "y"]}, "s: attribute 'a/b': a name may hold neither '/' nor control characters"),
        (
            {"image": ["x", "y"]},
            "s: attribute 'image': the name is reserved for a column of the output; choose another",
        ),
        ({"a_confidence": ["x", "y"]}, "s: attribute 'a_confidence': the name is reserved for a column of the output"),
    ],
)
def test_malformed_schemas(value: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        AttributeSchema.from_plain(value, source="s")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_reserved_name_is_refused() -> None:
    for name in RESERVED_NAMES:
        with pytest.raises(SchemaError, match="reserved"):
            Attribute(name, ("x", "y"))


def test_an_attribute_cannot_occur_twice() -> None:
    attribute = Attribute("a", ("x", "y"))
    with pytest.raises(SchemaError, match="attribute 'a': it occurs twice"):
        AttributeSchema((attribute, attribute))
