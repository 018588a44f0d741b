from pathlib import Path

import pytest
from pydantic import Field

from gingham.errors import DataError, RecipeError, SchemaError
from gingham.options import Options, field_names, load_yaml


class Inner(Options):
    size: int = Field(default=3, ge=1)
    names: tuple[str, ...] = ()


class Outer(Options):
    inner: Inner = Inner()
    rate: float = 0.1


def test_parse() -> None:
    options = Outer.parse({"inner": {"size": 5, "names": ["a"]}})
    assert options == Outer(inner=Inner(size=5, names=("a",)))
    assert options.rate == 0.1
    assert hash(options) == hash(Outer(inner=Inner(size=5, names=("a",))))


def test_field_names() -> None:
    assert field_names(Outer) == ["inner.size", "inner.names", "rate"]


def test_instances_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().rate = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"sise": 5}}, "r.yaml: unknown field 'inner.sise'; did you mean 'inner.size'?"),
        ({"zzz": 5}, "r.yaml: unknown field 'zzz'"),
        ({"inner": {"size": 0}}, "r.yaml: inner.size: Input should be greater than or equal to 1 (got 0)"),
        ({"rate": "fast"}, "r.yaml: rate: "),
        ({"inner": {"names": "abc"}}, "r.yaml: inner.names: "),
        ({"inner": None}, "r.yaml: inner: expected a block of fields, got None"),
    ],
)
def test_wrong_values_name_the_field(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Outer.parse(values, source="r.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_error_class_can_be_chosen() -> None:
    with pytest.raises(SchemaError):
        Outer.parse({"x": 1}, error=SchemaError)


def test_load_yaml(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, grün]\n", encoding="utf-8")
    assert load_yaml(path, error=DataError) == {"a": [1, "grün"]}


def test_json_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n\t"a": ["\\ud83d\\udc55"]\n}')
    assert load_yaml(path, error=DataError) == {"a": ["👕"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"a: 1\nb: [\n", "a.yaml:3: not valid YAML ("),
        ("a.yaml", b"a: !!python/object:os.system 1\n", "a.yaml:1: not valid YAML ("),
        ("a.json", b'{"a": 1,\n}', "a.json:2: not valid JSON ("),
        ("a.yaml", b"\xff\xfe\x00", "a.yaml: cannot be read ("),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_yaml(tmp_path / name, error=DataError)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no such file"):
        load_yaml(tmp_path / "a.yaml", error=SchemaError)
    with pytest.raises(SchemaError, match="cannot be read"):
        load_yaml(tmp_path, error=SchemaError)
