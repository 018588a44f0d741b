import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gingham.documents import parse_json, parse_yaml, read_limited
from gingham.errors import RecipeError
from gingham.options import load_yaml

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(plain)
def test_plain_values_come_back(value: object) -> None:
    import json

    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ('{"a": {"b": 1, "b": 2}}', "a key occurs twice"),
        ("[NaN]", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "digits"),
        ("{", "property name"),
        (b"\xff", "utf-8"),
    ],
)
def test_what_is_no_strict_json(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_a_billion_laughs() -> None:
    """Nine lines that stand for 10^9 values, harmless until somebody prints them."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(yaml.YAMLError, match="aliases"):
        parse_yaml("\n".join(lines))


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: &a {x: 1}\nb: {<<: *a}", "x: 1\ny: {z: 2, z: 3}", "!!python/none x"]
)
def test_what_is_no_strict_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "1" * 5000, "a: 2001-13-45"])
def test_yaml_that_cannot_be_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


def test_anchors_alone_are_fine() -> None:
    assert parse_yaml("a: &name 1\nb: {c: [d, e]}") == {"a": 1, "b": {"c": ["d", "e"]}}


@pytest.mark.parametrize("text", ["[" * 5000, "a: 2001-13-45", "a: &b 1\nc: *b", "a: 1\na: 2"])
def test_errors_name_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"r\.yaml") as caught:
        load_yaml(tmp_path / "r.yaml", error=RecipeError)
    assert "\n" not in str(caught.value)


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_limited(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_limited(tmp_path / "a", 4)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises((ValueError, IsADirectoryError)):
            read_limited(path)
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "none")
